//! Security Association payload and the Proposals and Transforms nested in it, RFC 2408
//! sections 3.4 to 3.6 and RFC 2407 section 4.6.1.

use super::limits::{MAX_PROPOSALS, MAX_SPI_LEN, MAX_TRANSFORMS, MAX_TRANSFORMS_IN_ALL};
use super::numbers::{DomainOfInterpretation, PayloadType, ProtocolId, Situation};
use super::reader::Reader;
use super::writer::{count_field, patch, push_generic, push_generic_parts};
use super::{AttributeList, Attributes, DecodeError};

/// Security Association payload body of the IPsec DOI: an offer or the choice from one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SecurityAssociation<'a> {
    /// Invariant: a well-formed chain of one to [`MAX_PROPOSALS`] proposals that fills the octets.
    proposals: &'a [u8],
}

impl<'a> SecurityAssociation<'a> {
    /// Decodes a body, with every proposal, transform and attribute in it.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnsupportedDoi`] or [`DecodeError::UnsupportedSituation`] for what is not
    /// plain IPsec; a typed error for a length that disagrees with its surroundings, a count of
    /// transforms that does, and numbers above the limits.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body, "Security Association");
        let doi = DomainOfInterpretation(reader.u32()?);
        if doi != DomainOfInterpretation::IPSEC {
            return Err(DecodeError::UnsupportedDoi { doi });
        }
        let situation = Situation(reader.u32()?);
        if situation != Situation::IDENTITY_ONLY {
            return Err(DecodeError::UnsupportedSituation { situation });
        }
        let proposals = reader.rest();
        check_proposals(proposals)?;
        Ok(Self { proposals })
    }

    /// The proposals in order of preference. Those with equal numbers belong together: all of
    /// them, ESP and IPCOMP for example, or none.
    pub fn proposals(&self) -> impl Iterator<Item = Proposal<'a>> + use<'a> {
        let mut rest = Some(self.proposals);
        // Cannot fail on checked octets.
        core::iter::from_fn(move || {
            let (proposal, after) = Proposal::split(rest?).ok()?;
            rest = after;
            Some(proposal)
        })
    }
}

fn check_proposals(octets: &[u8]) -> Result<(), DecodeError> {
    let mut rest = Some(octets);
    let mut proposals = 0;
    let mut transforms = 0;
    while let Some(octets) = rest {
        if proposals == MAX_PROPOSALS {
            return Err(DecodeError::TooMany {
                what: "proposals",
                limit: MAX_PROPOSALS,
            });
        }
        let (proposal, after) = Proposal::split(octets)?;
        transforms += proposal.check_transforms()?;
        if MAX_TRANSFORMS_IN_ALL < transforms {
            return Err(DecodeError::TooMany {
                what: "transforms",
                limit: MAX_TRANSFORMS_IN_ALL,
            });
        }
        rest = after;
        proposals += 1;
    }
    Ok(())
}

/// One proposal: a protocol and the transforms among which to choose for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Proposal<'a> {
    number: u8,
    protocol: ProtocolId,
    spi: &'a [u8],
    transform_count: u8,
    /// Invariant once the SA is decoded: a well-formed chain of `transform_count` transforms that
    /// fills the octets.
    transforms: &'a [u8],
}

impl<'a> Proposal<'a> {
    /// Takes one proposal off the front and returns it with the octets of the next ones, if any.
    fn split(octets: &'a [u8]) -> Result<(Self, Option<&'a [u8]>), DecodeError> {
        let (body, rest) = split_nested(octets, PayloadType::PROPOSAL, "Proposal")?;
        let mut reader = Reader::new(body, "Proposal");
        let number = reader.u8()?;
        let protocol = ProtocolId(reader.u8()?);
        let spi_len = usize::from(reader.u8()?);
        let transform_count = reader.u8()?;
        if MAX_SPI_LEN < spi_len {
            return Err(DecodeError::BadLength {
                what: "Proposal SPI",
            });
        }
        let spi = reader.octets(spi_len)?;
        let transforms = reader.rest();
        Ok((
            Self {
                number,
                protocol,
                spi,
                transform_count,
                transforms,
            },
            rest,
        ))
    }

    /// Walks the transforms once and returns their number.
    fn check_transforms(&self) -> Result<usize, DecodeError> {
        let mut rest = if self.transforms.is_empty() {
            None
        } else {
            Some(self.transforms)
        };
        let mut count = 0;
        while let Some(octets) = rest {
            if count == MAX_TRANSFORMS {
                return Err(DecodeError::TooMany {
                    what: "transforms",
                    limit: MAX_TRANSFORMS,
                });
            }
            let (transform, after) = Transform::split(octets)?;
            Attributes::decode(transform.attributes)?;
            rest = after;
            count += 1;
        }
        if count == usize::from(self.transform_count) {
            Ok(count)
        } else {
            Err(DecodeError::BadValue {
                what: "number of transforms",
            })
        }
    }

    /// The number of the proposal, which an answer repeats.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// The protocol that is negotiated.
    pub const fn protocol(&self) -> ProtocolId {
        self.protocol
    }

    /// The sender's SPI: four octets for ESP; in phase 1 usually none, and otherwise without
    /// meaning (RFC 2408 section 3.5).
    pub const fn spi(&self) -> &'a [u8] {
        self.spi
    }

    /// The transforms in order of preference.
    pub fn transforms(&self) -> impl Iterator<Item = Transform<'a>> + use<'a> {
        let mut rest = if self.transforms.is_empty() {
            None
        } else {
            Some(self.transforms)
        };
        // Cannot fail on checked octets.
        core::iter::from_fn(move || {
            let (transform, after) = Transform::split(rest?).ok()?;
            rest = after;
            Some(transform)
        })
    }
}

/// One transform: an algorithm with its attributes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transform<'a> {
    number: u8,
    id: u8,
    /// Invariant once the SA is decoded: well-formed attributes.
    attributes: &'a [u8],
}

impl<'a> Transform<'a> {
    /// Takes one transform off the front and returns it with the octets of the next ones, if any.
    fn split(octets: &'a [u8]) -> Result<(Self, Option<&'a [u8]>), DecodeError> {
        let (body, rest) = split_nested(octets, PayloadType::TRANSFORM, "Transform")?;
        let mut reader = Reader::new(body, "Transform");
        let number = reader.u8()?;
        let id = reader.u8()?;
        // RFC 2408 section 3.6: reserved, ignored.
        reader.u16()?;
        Ok((
            Self {
                number,
                id,
                attributes: reader.rest(),
            },
            rest,
        ))
    }

    /// The number of the transform, which an answer repeats (some peers put their own).
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// The Transform-Id, whose meaning the protocol decides:
    /// [`IsakmpTransformId`](super::numbers::IsakmpTransformId) or
    /// [`EspTransformId`](super::numbers::EspTransformId).
    pub const fn id(&self) -> u8 {
        self.id
    }

    /// The attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        // Cannot fail: checked when the SA was decoded.
        Attributes::decode(self.attributes).unwrap_or_else(|_| Attributes::empty())
    }
}

/// Takes one Proposal or Transform off the front and returns its body with what follows it, which
/// is `None` after the last.
fn split_nested<'a>(
    octets: &'a [u8],
    payload_type: PayloadType,
    what: &'static str,
) -> Result<(&'a [u8], Option<&'a [u8]>), DecodeError> {
    let mut reader = Reader::new(octets, what);
    let next = PayloadType(reader.u8()?);
    // RFC 2408 section 3.5: reserved, ignored.
    reader.u8()?;
    let Some(len) = usize::from(reader.u16()?).checked_sub(4) else {
        return Err(DecodeError::BadLength { what });
    };
    let body = reader.octets(len)?;
    if next == PayloadType::NONE {
        reader.finish()?;
        Ok((body, None))
    } else if next == payload_type {
        Ok((body, Some(reader.rest())))
    } else {
        Err(DecodeError::MisplacedPayload { payload: next })
    }
}

/// A Security Association payload body being put together.
#[derive(Clone, Debug)]
pub struct SecurityAssociationBuilder {
    octets: Vec<u8>,
    /// Offset of the last proposal's generic header.
    last: Option<usize>,
}

impl SecurityAssociationBuilder {
    /// A body of the IPsec DOI with SIT_IDENTITY_ONLY and no proposals yet.
    pub fn new() -> Self {
        let mut octets = Vec::with_capacity(USUAL_LEN);
        octets.extend_from_slice(&DomainOfInterpretation::IPSEC.0.to_be_bytes());
        octets.extend_from_slice(&Situation::IDENTITY_ONLY.0.to_be_bytes());
        Self { octets, last: None }
    }

    /// Appends a proposal.
    #[must_use]
    pub fn proposal(mut self, proposal: &ProposalBuilder) -> Self {
        if let Some(last) = self.last {
            patch(&mut self.octets, last, PayloadType::PROPOSAL.0);
        }
        self.last = Some(self.octets.len());
        push_generic(&mut self.octets, &proposal.body);
        self
    }

    /// The body as it goes on the wire and into the hashes.
    pub fn build(self) -> Vec<u8> {
        self.octets
    }
}

impl Default for SecurityAssociationBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// A proposal being put together.
#[derive(Clone, Debug)]
pub struct ProposalBuilder {
    body: Vec<u8>,
    count: usize,
    /// Offset of the last transform's generic header.
    last: usize,
}

impl ProposalBuilder {
    /// A proposal without transforms yet. The SPI is four octets for ESP and empty for ISAKMP.
    pub fn new(number: u8, protocol: ProtocolId, spi: &[u8]) -> Self {
        let mut body = Vec::with_capacity(USUAL_LEN);
        body.extend_from_slice(&[number, protocol.0, count_field(spi.len()), 0]);
        body.extend_from_slice(spi);
        Self {
            body,
            count: 0,
            last: 0,
        }
    }

    /// Appends a transform.
    #[must_use]
    pub fn transform(self, number: u8, id: u8, attributes: &AttributeList) -> Self {
        self.push(number, id, attributes.octets())
    }

    /// Appends a transform with its attributes exactly as the peer offered them: the answer to an
    /// offer may not alter them (RFC 2409 section 5).
    #[must_use]
    pub fn chosen(self, transform: &Transform<'_>) -> Self {
        self.push(transform.number, transform.id, transform.attributes)
    }

    fn push(mut self, number: u8, id: u8, attributes: &[u8]) -> Self {
        if 0 < self.count {
            patch(&mut self.body, self.last, PayloadType::TRANSFORM.0);
        }
        self.last = self.body.len();
        self.count += 1;
        patch(
            &mut self.body,
            TRANSFORM_COUNT_OFFSET,
            count_field(self.count),
        );
        let head = [number, id, 0, 0];
        push_generic_parts(&mut self.body, [&head, attributes]);
        self
    }
}

/// Octets that an offer of one transform does not exceed.
const USUAL_LEN: usize = 96;

/// Where the number of transforms stands in a Proposal's body.
const TRANSFORM_COUNT_OFFSET: usize = 3;
