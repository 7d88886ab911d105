//! Failed negotiations, for people: what went wrong, and what to do.

use core::error::Error;

use ike_core::{PhaseOneError, QuickModeError};
use trigger::Failure;

/// What went wrong, down to the attribute that differs.
pub(crate) fn words(failure: &Failure) -> String {
    let innermost: Option<&dyn Error> = match failure {
        Failure::PhaseOne(error) => error.source(),
        Failure::QuickMode(error) => error.source(),
        _ => None,
    };
    match innermost {
        Some(source) => format!("{failure} ({source})"),
        None => failure.to_string(),
    }
}

/// What to do about it; `None` where only time or the other side can help.
pub(crate) fn remedy(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::PhaseOne(error) => phase_one(error),
        Failure::QuickMode(error) => quick_mode(error),
        Failure::NoKey => {
            Some("look into this hub's log: it says there why `psk_command` gave no key")
        }
        Failure::Sa(_) => Some("leave this algorithm out of `esp`: it cannot be run here"),
        _ => None,
    }
}

fn phase_one(error: &PhaseOneError) -> Option<&'static str> {
    Some(match error {
        PhaseOneError::PskMismatch
        | PhaseOneError::UndecryptableMessage3
        | PhaseOneError::AuthenticationFailed => {
            "compare `psk` or `psk_file` on both sides: the keys must be the same to the octet"
        }
        PhaseOneError::IdentityMismatch { .. } => {
            "make `hub_identity` here and `identity` at the hub the same"
        }
        PhaseOneError::NoProposalChosen { .. } | PhaseOneError::AnswerNotOffered => {
            "give both sides one entry of `ike` in common; aggressive mode offers the group of the first entry only"
        }
        PhaseOneError::WrongGroup { .. } => {
            "let the peer offer one group only, the one that its value is for"
        }
        PhaseOneError::RefusedByPeer { .. } => {
            "look into the peer's log: it says there which proposal or identity it refused"
        }
        PhaseOneError::TimedOut { heard: false, .. } => {
            "nothing came back at all: is the address right, does the peer run, do firewalls let UDP 500 and 4500 through?"
        }
        PhaseOneError::TimedOut { heard: true, .. } => {
            "something came back, but no answer that proves itself: the pre-shared key or the identity is probably wrong"
        }
        PhaseOneError::UnsupportedAlgorithm => {
            "correct `ike`: nothing in it is available in this build"
        }
        _ => return None,
    })
}

fn quick_mode(error: &QuickModeError) -> Option<&'static str> {
    Some(match error {
        QuickModeError::NoProposalChosen { mismatch: None } => {
            "give both sides one entry of `esp` in common, with the same group at its end or with none; some peers say \
             the same when they do not know the pair: compare `local` and `remote` too"
        }
        QuickModeError::NoProposalChosen { .. } | QuickModeError::AnswerNotOffered => {
            "give both sides one entry of `esp` in common, with the same group at its end or with none"
        }
        QuickModeError::SelectorRefused { .. }
        | QuickModeError::UnknownSelector { .. }
        | QuickModeError::OtherSelectors { .. } => {
            "configure the pair on both sides, `local` here being `remote` there"
        }
        QuickModeError::UnsupportedSelector => {
            "the peer must ask for subnets: address ranges are not supported"
        }
        QuickModeError::RefusedByPeer { .. } => {
            "look into the peer's log: it says there what it refused"
        }
        QuickModeError::TimedOut { .. } => {
            "the peer fell silent after phase 1: does it know the pair, do long UDP packets get through?"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use ike_core::wire::numbers::GroupNumber;
    use ike_core::{Mismatch, SelectorPair};

    use super::*;

    #[test]
    fn the_attribute_that_differs_is_named() {
        let mismatch = Mismatch::Group {
            offered: GroupNumber::MODP_2048,
            configured: GroupNumber::ECP_256,
        };
        let failure = Failure::PhaseOne(PhaseOneError::NoProposalChosen {
            mismatch: Some(mismatch),
        });
        let words = words(&failure);
        assert!(
            words.starts_with("phase 1: no proposal chosen (group: offered "),
            "{words}"
        );
        assert!(remedy(&failure).unwrap().contains("`ike`"));
    }

    #[test]
    fn a_refused_pair_is_named_with_the_one_that_would_do() {
        let pair = |remote: &str| SelectorPair {
            local: "10.61.1.0/24".parse().unwrap(),
            remote: remote.parse().unwrap(),
        };
        let failure = Failure::QuickMode(QuickModeError::SelectorRefused {
            asked: pair("10.61.253.0/24"),
            acceptable: Some(pair("10.61.253.0/25")),
        });
        assert_eq!(
            words(&failure),
            "quick mode: the peer refused 10.61.1.0/24 here and 10.61.253.0/24 behind the peer; \
             it would take 10.61.1.0/24 here and 10.61.253.0/25 behind the peer"
        );
        assert!(remedy(&failure).unwrap().contains("`local` here"));
    }

    #[test]
    fn a_proposal_that_is_refused_may_be_a_pair_that_is_not_known() {
        let refused = |mismatch| {
            let error = QuickModeError::NoProposalChosen { mismatch };
            remedy(&Failure::QuickMode(error)).unwrap()
        };
        let extended = Mismatch::ExtendedSequenceNumbers {
            offered: true,
            configured: false,
        };
        assert!(refused(None).contains("`local`"));
        assert!(!refused(Some(extended)).contains("`local`"));
    }

    #[test]
    fn silence_and_garbled_answers_have_different_remedies() {
        let timed_out = |heard| {
            remedy(&Failure::PhaseOne(PhaseOneError::TimedOut {
                attempts: 5,
                elapsed: Duration::from_secs(30),
                heard,
            }))
        };
        assert!(timed_out(false).unwrap().contains("firewalls"));
        assert!(timed_out(true).unwrap().contains("key"));
    }
}
