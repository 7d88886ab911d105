//! SA payloads of quick mode: what is offered and what is chosen, RFC 2407 sections 4.4 and 4.5.

use crate::config::{EspCipher, EspIntegrity, EspProposal, EspTransform};
use crate::error::Mismatch;
use crate::lifetime::Lifetimes;
use crate::spi::Spi;
use crate::wire::numbers::{
    AuthenticationAlgorithm, EncapsulationMode, EspTransformId, GroupNumber, IpsecAttribute,
    LifeType, ProtocolId,
};
use crate::wire::{
    AttributeList, Proposal, ProposalBuilder, SecurityAssociation, SecurityAssociationBuilder,
    Transform,
};

/// Value of the Extended Sequence Number attribute, RFC 4304.
const ESN_64_BIT: u16 = 1;

/// Attributes that may occur once. Any other, such as a number of rounds, means something else.
const UNDERSTOOD: [u16; 5] = [
    IpsecAttribute::GROUP_DESCRIPTION.0,
    IpsecAttribute::ENCAPSULATION_MODE.0,
    IpsecAttribute::AUTHENTICATION_ALGORITHM.0,
    IpsecAttribute::KEY_LENGTH.0,
    IpsecAttribute::EXTENDED_SEQUENCE_NUMBER.0,
];

/// Attributes that may occur more than once: each type of lifetime has its own.
const REPEATABLE: [u16; 2] = [IpsecAttribute::LIFE_TYPE.0, IpsecAttribute::LIFE_DURATION.0];

/// How ESP travels, which is negotiated along with the proposals.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Carriage {
    /// As an IP protocol of its own.
    Raw,
    /// Inside UDP; this is the number that we send. Either of the two is understood.
    Udp(EncapsulationMode),
    /// As the initiator of the quick mode says.
    Either(EncapsulationMode),
}

impl Carriage {
    fn mode(self) -> EncapsulationMode {
        match self {
            Self::Raw => EncapsulationMode::TUNNEL,
            Self::Udp(mode) | Self::Either(mode) => mode,
        }
    }

    /// What it comes to with the mode that the peer names; `None` if that is not acceptable.
    fn resolve(self, offered: EncapsulationMode) -> Option<Self> {
        let raw = offered == EncapsulationMode::TUNNEL;
        let udp = matches!(
            offered,
            EncapsulationMode::UDP_TUNNEL | EncapsulationMode::UDP_TUNNEL_DRAFT
        );
        match self {
            Self::Raw | Self::Either(_) if raw => Some(Self::Raw),
            Self::Udp(mode) | Self::Either(mode) if udp => Some(Self::Udp(mode)),
            Self::Raw | Self::Udp(_) | Self::Either(_) => None,
        }
    }
}

/// One transform as the peer offers or chooses it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Offered {
    id: EspTransformId,
    key_bits: Option<u16>,
    authentication: AuthenticationAlgorithm,
    encapsulation: EncapsulationMode,
    esn: bool,
    group: GroupNumber,
    lifetimes: Lifetimes,
    /// An attribute that would change what the others mean.
    foreign: Option<u16>,
}

impl Offered {
    fn read(transform: &Transform<'_>) -> Self {
        let attributes = transform.attributes();
        let number = |wanted: IpsecAttribute| {
            attributes
                .iter()
                .find(|attribute| attribute.attribute_type() == wanted.0)
                .and_then(|found| found.number())
        };
        // RFC 2407 section 4.5: without an attribute, the mode is for the implementation to choose.
        let encapsulation =
            number(IpsecAttribute::ENCAPSULATION_MODE).unwrap_or(EncapsulationMode::TUNNEL.0);
        Self {
            id: EspTransformId(transform.id()),
            key_bits: number(IpsecAttribute::KEY_LENGTH),
            authentication: AuthenticationAlgorithm(
                number(IpsecAttribute::AUTHENTICATION_ALGORITHM).unwrap_or(0),
            ),
            encapsulation: EncapsulationMode(encapsulation),
            esn: number(IpsecAttribute::EXTENDED_SEQUENCE_NUMBER) == Some(ESN_64_BIT),
            group: GroupNumber(number(IpsecAttribute::GROUP_DESCRIPTION).unwrap_or(0)),
            lifetimes: Lifetimes::read(
                &attributes,
                IpsecAttribute::LIFE_TYPE.0,
                IpsecAttribute::LIFE_DURATION.0,
            ),
            foreign: attributes.foreign(&UNDERSTOOD, &REPEATABLE),
        }
    }

    /// The first attribute in which the offer differs from a proposal of ours, with how many agree before it.
    fn compare(
        &self,
        configured: &EspProposal,
        carriage: Carriage,
    ) -> Result<(), (usize, Mismatch)> {
        let transform = configured.transform();
        let id = transform.cipher.transform_id();
        if self.id != id {
            return Err((
                0,
                Mismatch::Transform {
                    offered: self.id,
                    configured: id,
                },
            ));
        }
        let key_bits = transform.cipher.key_bits();
        if self.key_bits != key_bits {
            return Err((
                1,
                Mismatch::KeyLength {
                    offered: self.key_bits,
                    configured: key_bits,
                },
            ));
        }
        let integrity = transform
            .integrity
            .map_or(AuthenticationAlgorithm(0), EspIntegrity::number);
        if self.authentication != integrity {
            return Err((
                2,
                Mismatch::Integrity {
                    offered: self.authentication,
                    configured: integrity,
                },
            ));
        }
        let group = configured.group().unwrap_or(GroupNumber(0));
        if self.group != group {
            return Err((
                3,
                Mismatch::Group {
                    offered: self.group,
                    configured: group,
                },
            ));
        }
        if self.esn != transform.esn {
            let configured = transform.esn;
            return Err((
                4,
                Mismatch::ExtendedSequenceNumbers {
                    offered: self.esn,
                    configured,
                },
            ));
        }
        if carriage.resolve(self.encapsulation).is_none() {
            let configured = carriage.mode();
            return Err((
                5,
                Mismatch::Encapsulation {
                    offered: self.encapsulation,
                    configured,
                },
            ));
        }
        // RFC 2407 section 4.5: what is not understood is not supported.
        if let Some(attribute) = self.foreign {
            return Err((6, Mismatch::Attribute { attribute }));
        }
        Ok(())
    }
}

/// The body of an SA payload that offers these proposals in order, as transforms of one ESP proposal.
pub(crate) fn encode(
    proposals: &[EspProposal],
    spi: Spi,
    carriage: Carriage,
    lifetimes: Lifetimes,
) -> Vec<u8> {
    let mut builder = ProposalBuilder::new(1, ProtocolId::ESP, &spi.octets());
    for (number, proposal) in (1..=u8::MAX).zip(proposals) {
        let EspTransform {
            cipher,
            integrity,
            esn,
        } = proposal.transform();
        builder = builder.transform(
            number,
            cipher.transform_id().0,
            &attributes(
                cipher,
                integrity,
                esn,
                proposal.group(),
                carriage,
                lifetimes,
            ),
        );
    }
    SecurityAssociationBuilder::new().proposal(&builder).build()
}

fn attributes(
    cipher: EspCipher,
    integrity: Option<EspIntegrity>,
    esn: bool,
    group: Option<GroupNumber>,
    carriage: Carriage,
    lifetimes: Lifetimes,
) -> AttributeList {
    let mut list = lifetime_attributes(lifetimes);
    if let Some(group) = group {
        list = list.short(IpsecAttribute::GROUP_DESCRIPTION.0, group.0);
    }
    list = list.short(IpsecAttribute::ENCAPSULATION_MODE.0, carriage.mode().0);
    if let Some(integrity) = integrity {
        list = list.short(
            IpsecAttribute::AUTHENTICATION_ALGORITHM.0,
            integrity.number().0,
        );
    }
    if let Some(bits) = cipher.key_bits() {
        list = list.short(IpsecAttribute::KEY_LENGTH.0, bits);
    }
    if esn {
        list = list.short(IpsecAttribute::EXTENDED_SEQUENCE_NUMBER.0, ESN_64_BIT);
    }
    list
}

/// Lifetimes as a transform and RESPONDER-LIFETIME carry them.
pub(crate) fn lifetime_attributes(lifetimes: Lifetimes) -> AttributeList {
    let mut list = AttributeList::new();
    if let Some(duration) = lifetimes.duration {
        list = list
            .short(IpsecAttribute::LIFE_TYPE.0, LifeType::SECONDS.0)
            .integer(IpsecAttribute::LIFE_DURATION.0, duration.as_secs());
    }
    if let Some(kilobytes) = lifetimes.kilobytes {
        list = list
            .short(IpsecAttribute::LIFE_TYPE.0, LifeType::KILOBYTES.0)
            .integer(IpsecAttribute::LIFE_DURATION.0, kilobytes);
    }
    list
}

/// What a responder chooses from the offer.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) proposal: EspProposal,
    /// The SPI of the initiator.
    pub(crate) spi: Spi,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) carriage: Carriage,
    wire_proposal: Proposal<'a>,
    wire_transform: Transform<'a>,
}

impl Choice<'_> {
    /// The chosen transform exactly as it was offered, with its numbers, under our SPI.
    pub(crate) fn answer(&self, spi: Spi) -> Vec<u8> {
        let builder =
            ProposalBuilder::new(self.wire_proposal.number(), ProtocolId::ESP, &spi.octets());
        SecurityAssociationBuilder::new()
            .proposal(&builder.chosen(&self.wire_transform))
            .build()
    }
}

/// Chooses the first of our proposals that the peer offers too; else names the nearest miss.
pub(crate) fn choose<'a>(
    offer: &SecurityAssociation<'a>,
    configured: impl Iterator<Item = EspProposal>,
    carriage: Carriage,
) -> Result<Choice<'a>, Option<Mismatch>> {
    let transforms: Vec<_> = transforms(offer).collect();
    let mut nearest: Option<(usize, Mismatch)> = None;
    for ours in configured {
        for (wire_proposal, spi, wire_transform, offered) in &transforms {
            match offered.compare(&ours, carriage) {
                Ok(()) => {
                    return Ok(Choice {
                        proposal: ours,
                        spi: *spi,
                        lifetimes: offered.lifetimes,
                        carriage: carriage.resolve(offered.encapsulation).unwrap_or(carriage),
                        wire_proposal: *wire_proposal,
                        wire_transform: *wire_transform,
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

/// Finds which of the proposals we offered the peer has chosen, by its attributes, and the peer's SPI.
///
/// `None` unless there is exactly one transform, and that one was offered.
pub(crate) fn chosen(
    answer: &SecurityAssociation<'_>,
    offered: &[EspProposal],
    carriage: Carriage,
) -> Option<(EspProposal, Spi, Lifetimes)> {
    let mut transforms = transforms(answer);
    let (_, spi, _, choice) = transforms.next()?;
    if transforms.next().is_some() {
        return None;
    }
    let proposal = offered
        .iter()
        .find(|proposal| choice.compare(proposal, carriage).is_ok())?;
    Some((*proposal, spi, choice.lifetimes))
}

/// Every transform of the ESP proposals that stand alone under their number: what is bundled with IPCOMP or AH has to
/// be taken as a whole, and is not.
fn transforms<'a>(
    sa: &SecurityAssociation<'a>,
) -> impl Iterator<Item = (Proposal<'a>, Spi, Transform<'a>, Offered)> + use<'a> {
    let sa = *sa;
    let alone = move |number: u8| {
        sa.proposals()
            .filter(|other| other.number() == number)
            .count()
            == 1
    };
    let esp = sa
        .proposals()
        .filter(move |proposal| proposal.protocol() == ProtocolId::ESP && alone(proposal.number()));
    let with_spi = esp.filter_map(|proposal| Some((proposal, Spi::from_slice(proposal.spi())?)));
    with_spi.flat_map(|(proposal, spi)| {
        proposal
            .transforms()
            .map(move |transform| (proposal, spi, transform, Offered::read(&transform)))
    })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn proposals(texts: &[&str]) -> Vec<EspProposal> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn spi(value: u32) -> Spi {
        Spi::new(value).unwrap()
    }

    const LIFETIMES: Lifetimes = Lifetimes {
        duration: Some(Duration::from_secs(3600)),
        kilobytes: Some(1_843_200),
    };

    #[test]
    fn the_responders_order_decides_and_numbers_are_kept() {
        let offered = proposals(&["aes128-sha1", "aes256gcm16", "null-sha256-esn"]);
        let body = encode(&offered, spi(0x1000), Carriage::Raw, LIFETIMES);
        let offer = SecurityAssociation::decode(&body).unwrap();
        let configured = proposals(&["aes128-sha256", "aes256gcm16", "aes128-sha1"]);
        let choice = choose(&offer, configured.into_iter(), Carriage::Raw).unwrap();
        assert_eq!(choice.proposal.to_string(), "aes256gcm16");
        assert_eq!((choice.spi, choice.lifetimes), (spi(0x1000), LIFETIMES));
        let body = choice.answer(spi(0x2000));
        let answer = SecurityAssociation::decode(&body).unwrap();
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
        let found = chosen(&answer, &offered, Carriage::Raw).unwrap();
        assert_eq!(
            found,
            ("aes256gcm16".parse().unwrap(), spi(0x2000), LIFETIMES)
        );
    }

    #[test]
    fn a_refusal_names_the_first_difference() {
        let mismatch = |offered: &[&str], configured: &[&str], carriage| {
            let body = encode(&proposals(offered), spi(0x1000), Carriage::Raw, LIFETIMES);
            let offer = SecurityAssociation::decode(&body).unwrap();
            choose(&offer, proposals(configured).into_iter(), carriage)
                .unwrap_err()
                .unwrap()
        };
        assert_eq!(
            mismatch(&["aes128-sha1"], &["aes128-sha256"], Carriage::Raw),
            Mismatch::Integrity {
                offered: AuthenticationAlgorithm::HMAC_SHA1,
                configured: AuthenticationAlgorithm::HMAC_SHA2_256
            }
        );
        assert_eq!(
            mismatch(&["aes128-sha1"], &["aes128-sha1-modp2048"], Carriage::Raw),
            Mismatch::Group {
                offered: GroupNumber(0),
                configured: GroupNumber::MODP_2048
            }
        );
        assert_eq!(
            mismatch(
                &["aes128-sha1"],
                &["aes128-sha1"],
                Carriage::Udp(EncapsulationMode::UDP_TUNNEL)
            ),
            Mismatch::Encapsulation {
                offered: EncapsulationMode::TUNNEL,
                configured: EncapsulationMode::UDP_TUNNEL
            }
        );
        assert_eq!(
            mismatch(&["aes128-sha1-esn"], &["aes128-sha1"], Carriage::Raw),
            Mismatch::ExtendedSequenceNumbers {
                offered: true,
                configured: false
            }
        );
    }

    #[test]
    fn both_numbers_of_udp_encapsulation_are_understood() {
        let draft = Carriage::Udp(EncapsulationMode::UDP_TUNNEL_DRAFT);
        let body = encode(&proposals(&["aes128gcm16"]), spi(0x1000), draft, LIFETIMES);
        let offer = SecurityAssociation::decode(&body).unwrap();
        let rfc = Carriage::Udp(EncapsulationMode::UDP_TUNNEL);
        assert!(choose(&offer, proposals(&["aes128gcm16"]).into_iter(), rfc).is_ok());
    }

    #[test]
    fn bundles_and_reserved_spis_are_passed_over() {
        let attributes = attributes(
            EspCipher::AesGcm16 { key_bits: 128 },
            None,
            false,
            None,
            Carriage::Raw,
            LIFETIMES,
        );
        let esp = |number, spi: &[u8]| {
            ProposalBuilder::new(number, ProtocolId::ESP, spi).transform(1, 20, &attributes)
        };
        let ipcomp = ProposalBuilder::new(1, ProtocolId::IPCOMP, &[0, 2]).transform(
            1,
            2,
            &AttributeList::new(),
        );
        let choose = |body: &[u8]| {
            let offer = SecurityAssociation::decode(body).unwrap();
            choose(
                &offer,
                proposals(&["aes128gcm16"]).into_iter(),
                Carriage::Raw,
            )
            .map(|choice| choice.spi)
            .ok()
        };
        let bundle = SecurityAssociationBuilder::new()
            .proposal(&esp(1, &[0, 0, 16, 0]))
            .proposal(&ipcomp);
        assert_eq!(choose(&bundle.clone().build()), None);
        assert_eq!(
            choose(&bundle.proposal(&esp(2, &[0, 0, 32, 0])).build()),
            Some(spi(0x2000))
        );
        let reserved = SecurityAssociationBuilder::new().proposal(&esp(1, &[0, 0, 0, 9]));
        assert_eq!(choose(&reserved.build()), None);
    }
}
