//! SA payloads of phase 1: what is offered and what is chosen, RFC 2409 section 5 and appendix A.

use core::time::Duration;

use crate::config::IkeProposal;
use crate::error::Mismatch;
use crate::lifetime::Lifetimes;
use crate::wire::numbers::{
    AuthenticationMethod, EncryptionAlgorithm, GroupNumber, HashAlgorithm, IkeAttribute,
    IsakmpTransformId, LifeType, ProtocolId,
};
use crate::wire::{
    AttributeList, Proposal, ProposalBuilder, SecurityAssociation, SecurityAssociationBuilder,
    Transform,
};

/// Attributes that may occur once. Any other, such as a PRF or a group of the peer's own, means something else.
const UNDERSTOOD: [u16; 5] = [
    IkeAttribute::ENCRYPTION_ALGORITHM.0,
    IkeAttribute::HASH_ALGORITHM.0,
    IkeAttribute::AUTHENTICATION_METHOD.0,
    IkeAttribute::GROUP_DESCRIPTION.0,
    IkeAttribute::KEY_LENGTH.0,
];

/// Attributes that may occur more than once: each type of lifetime has its own.
const REPEATABLE: [u16; 2] = [IkeAttribute::LIFE_TYPE.0, IkeAttribute::LIFE_DURATION.0];

/// One transform as the peer offers or chooses it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Offered {
    encryption: EncryptionAlgorithm,
    key_bits: Option<u16>,
    hash: HashAlgorithm,
    authentication: AuthenticationMethod,
    group: GroupNumber,
    lifetimes: Lifetimes,
    /// An attribute that would change what the others mean.
    foreign: Option<u16>,
}

impl Offered {
    /// Reads a transform; `None` if it is no KEY_IKE. Attributes that are missing read as zero, which matches nothing.
    fn read(transform: &Transform<'_>) -> Option<Self> {
        if transform.id() != IsakmpTransformId::KEY_IKE.0 {
            return None;
        }
        let attributes = transform.attributes();
        let number = |wanted: IkeAttribute| {
            attributes
                .iter()
                .find(|attribute| attribute.attribute_type() == wanted.0)
                .and_then(|found| found.number())
        };
        Some(Self {
            encryption: EncryptionAlgorithm(
                number(IkeAttribute::ENCRYPTION_ALGORITHM).unwrap_or(0),
            ),
            key_bits: number(IkeAttribute::KEY_LENGTH),
            hash: HashAlgorithm(number(IkeAttribute::HASH_ALGORITHM).unwrap_or(0)),
            authentication: AuthenticationMethod(
                number(IkeAttribute::AUTHENTICATION_METHOD).unwrap_or(0),
            ),
            group: GroupNumber(number(IkeAttribute::GROUP_DESCRIPTION).unwrap_or(0)),
            lifetimes: Lifetimes::read(
                &attributes,
                IkeAttribute::LIFE_TYPE.0,
                IkeAttribute::LIFE_DURATION.0,
            ),
            foreign: attributes.foreign(&UNDERSTOOD, &REPEATABLE),
        })
    }

    /// The first attribute in which the offer differs from a proposal of ours, with how many agree before it.
    fn compare(&self, configured: &IkeProposal) -> Result<(), (usize, Mismatch)> {
        if self.encryption != configured.encryption() {
            return Err((
                0,
                Mismatch::Encryption {
                    offered: self.encryption,
                    configured: configured.encryption(),
                },
            ));
        }
        if self.key_bits != configured.key_bits() {
            return Err((
                1,
                Mismatch::KeyLength {
                    offered: self.key_bits,
                    configured: configured.key_bits(),
                },
            ));
        }
        if self.hash != configured.hash() {
            return Err((
                2,
                Mismatch::Hash {
                    offered: self.hash,
                    configured: configured.hash(),
                },
            ));
        }
        if self.authentication != AuthenticationMethod::PRE_SHARED_KEY {
            let configured = AuthenticationMethod::PRE_SHARED_KEY;
            return Err((
                3,
                Mismatch::Authentication {
                    offered: self.authentication,
                    configured,
                },
            ));
        }
        if self.group != configured.group() {
            return Err((
                4,
                Mismatch::Group {
                    offered: self.group,
                    configured: configured.group(),
                },
            ));
        }
        if let Some(attribute) = self.foreign {
            return Err((5, Mismatch::Attribute { attribute }));
        }
        Ok(())
    }
}

/// The body of an SA payload that offers these proposals in order.
pub(crate) fn encode(proposals: &[IkeProposal], lifetime: Duration) -> Vec<u8> {
    let mut builder = ProposalBuilder::new(1, ProtocolId::ISAKMP, &[]);
    for (number, proposal) in (1..=u8::MAX).zip(proposals) {
        let mut attributes = AttributeList::new().short(
            IkeAttribute::ENCRYPTION_ALGORITHM.0,
            proposal.encryption().0,
        );
        if let Some(bits) = proposal.key_bits() {
            attributes = attributes.short(IkeAttribute::KEY_LENGTH.0, bits);
        }
        attributes = attributes
            .short(IkeAttribute::HASH_ALGORITHM.0, proposal.hash().0)
            .short(
                IkeAttribute::AUTHENTICATION_METHOD.0,
                AuthenticationMethod::PRE_SHARED_KEY.0,
            )
            .short(IkeAttribute::GROUP_DESCRIPTION.0, proposal.group().0)
            .short(IkeAttribute::LIFE_TYPE.0, LifeType::SECONDS.0)
            .integer(IkeAttribute::LIFE_DURATION.0, lifetime.as_secs());
        builder = builder.transform(number, IsakmpTransformId::KEY_IKE.0, &attributes);
    }
    SecurityAssociationBuilder::new().proposal(&builder).build()
}

/// What a responder chooses: one of its proposals, and the SA payload that says so.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) proposal: IkeProposal,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) sa_body: Vec<u8>,
}

/// Chooses the first of our proposals that the peer offers too; else names the nearest miss.
pub(crate) fn choose(
    offer: &SecurityAssociation<'_>,
    configured: impl Iterator<Item = IkeProposal>,
) -> Result<Choice, Option<Mismatch>> {
    let transforms: Vec<_> = transforms(offer).collect();
    let mut nearest: Option<(usize, Mismatch)> = None;
    for ours in configured {
        for (proposal, transform, offered) in &transforms {
            match offered.compare(&ours) {
                Ok(()) => {
                    let lifetime = offered.lifetimes.duration;
                    return Ok(Choice {
                        proposal: ours,
                        lifetime,
                        sa_body: answer(proposal, transform),
                    });
                }
                Err((agreeing, mismatch)) => {
                    if nearest.is_none_or(|(best, _)| best < agreeing) {
                        nearest = Some((agreeing, mismatch));
                    }
                }
            }
        }
    }
    Err(nearest.map(|(_, mismatch)| mismatch))
}

/// Finds which of the proposals we offered the peer has chosen, by its attributes: some peers number transforms anew.
///
/// `None` unless there is exactly one transform, and that one was offered.
pub(crate) fn chosen(
    answer: &SecurityAssociation<'_>,
    offered: &[IkeProposal],
) -> Option<(IkeProposal, Option<Duration>)> {
    let mut transforms = transforms(answer);
    let (_, _, choice) = transforms.next()?;
    if transforms.next().is_some() {
        return None;
    }
    let proposal = offered
        .iter()
        .find(|proposal| choice.compare(proposal).is_ok())?;
    Some((*proposal, choice.lifetimes.duration))
}

fn transforms<'a>(
    sa: &SecurityAssociation<'a>,
) -> impl Iterator<Item = (Proposal<'a>, Transform<'a>, Offered)> + use<'a> {
    let isakmp = sa
        .proposals()
        .filter(|proposal| proposal.protocol() == ProtocolId::ISAKMP);
    isakmp.flat_map(|proposal| {
        let transforms = proposal.transforms();
        transforms
            .filter_map(move |transform| Some((proposal, transform, Offered::read(&transform)?)))
    })
}

/// The chosen transform exactly as it was offered, with its numbers.
fn answer(proposal: &Proposal<'_>, transform: &Transform<'_>) -> Vec<u8> {
    let builder = ProposalBuilder::new(proposal.number(), ProtocolId::ISAKMP, proposal.spi())
        .chosen(transform);
    SecurityAssociationBuilder::new().proposal(&builder).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn proposals(texts: &[&str]) -> Vec<IkeProposal> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn negotiate(offered: &[&str], configured: &[&str]) -> Result<Choice, Option<Mismatch>> {
        let body = encode(&proposals(offered), HOUR);
        choose(
            &SecurityAssociation::decode(&body).unwrap(),
            proposals(configured).into_iter(),
        )
    }

    #[test]
    fn the_responders_order_decides() {
        let offered = ["aes128-sha1-modp2048", "aes256-sha256-modp2048"];
        let choice = negotiate(
            &offered,
            &["aes256-sha256-modp2048", "aes128-sha1-modp2048"],
        )
        .unwrap();
        assert_eq!(choice.proposal.to_string(), "aes256-sha256-modp2048");
        assert_eq!(choice.lifetime, Some(HOUR));
        let answer = SecurityAssociation::decode(&choice.sa_body).unwrap();
        assert_eq!(
            answer
                .proposals()
                .next()
                .unwrap()
                .transforms()
                .next()
                .unwrap()
                .number(),
            2
        );
        let (chosen, lifetime) = chosen(&answer, &proposals(&offered)).unwrap();
        assert_eq!((chosen, lifetime), (choice.proposal, Some(HOUR)));
    }

    #[test]
    fn a_refusal_names_the_first_difference_of_the_nearest_offer() {
        let mismatch = |offered: &[&str], configured: &[&str]| {
            negotiate(offered, configured).unwrap_err().unwrap()
        };
        assert_eq!(
            mismatch(
                &["aes128-sha1-modp1024", "3des-md5-modp768"],
                &["aes256-sha256-modp2048", "aes128-sha1-modp2048"]
            ),
            Mismatch::Group {
                offered: GroupNumber::MODP_1024,
                configured: GroupNumber::MODP_2048
            }
        );
        assert_eq!(
            mismatch(&["aes128-sha1-modp1024"], &["aes256-sha1-modp1024"]),
            Mismatch::KeyLength {
                offered: Some(128),
                configured: Some(256)
            }
        );
        assert_eq!(
            mismatch(&["aes128-sha1-modp1024"], &["aes128-sha256-modp1024"]),
            Mismatch::Hash {
                offered: HashAlgorithm::SHA1,
                configured: HashAlgorithm::SHA2_256
            }
        );
    }

    #[test]
    fn a_choice_that_was_not_offered_is_none() {
        let body = encode(&proposals(&["aes128-sha1-modp2048"]), HOUR);
        let answer = SecurityAssociation::decode(&body).unwrap();
        assert_eq!(chosen(&answer, &proposals(&["aes256-sha1-modp2048"])), None);
        let two = encode(
            &proposals(&["aes128-sha1-modp2048", "aes256-sha1-modp2048"]),
            HOUR,
        );
        let answer = SecurityAssociation::decode(&two).unwrap();
        assert_eq!(chosen(&answer, &proposals(&["aes256-sha1-modp2048"])), None);
    }

    #[test]
    fn a_key_length_that_is_missing_or_too_much_does_not_match() {
        let without = AttributeList::new()
            .short(1, 7)
            .short(2, 2)
            .short(3, 1)
            .short(4, 14);
        let builder = ProposalBuilder::new(1, ProtocolId::ISAKMP, &[]).transform(1, 1, &without);
        let body = SecurityAssociationBuilder::new().proposal(&builder).build();
        let offer = SecurityAssociation::decode(&body).unwrap();
        let mismatch =
            choose(&offer, proposals(&["aes128-sha1-modp2048"]).into_iter()).unwrap_err();
        assert_eq!(
            mismatch,
            Some(Mismatch::KeyLength {
                offered: None,
                configured: Some(128)
            })
        );
        let superfluous = AttributeList::new()
            .short(1, 5)
            .short(14, 192)
            .short(2, 2)
            .short(3, 1)
            .short(4, 14);
        let builder =
            ProposalBuilder::new(1, ProtocolId::ISAKMP, &[]).transform(1, 1, &superfluous);
        let body = SecurityAssociationBuilder::new().proposal(&builder).build();
        let offer = SecurityAssociation::decode(&body).unwrap();
        assert!(choose(&offer, proposals(&["3des-sha1-modp2048"]).into_iter()).is_err());
    }
}
