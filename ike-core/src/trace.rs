//! A trace of exchanges that reads like the diagrams of the RFCs, payload by payload and without secrets.

use core::fmt;

use crate::output::NON_ESP_MARKER;
use crate::wire::numbers::{
    AuthenticationAlgorithm, AuthenticationMethod, EncapsulationMode, EncryptionAlgorithm,
    EspTransformId, ExchangeType, GroupNumber, HashAlgorithm, IkeAttribute, IpsecAttribute,
    LifeType, NotifyType, PayloadType, ProtocolId,
};
use crate::wire::{
    Attribute, Attributes, DecodedPayload, Header, Identification, Notification, PayloadChain,
    Payloads, SecurityAssociation,
};

/// Which message of its exchange it is: the RFCs name the payloads by that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    First,
    Second,
    Third,
}

/// Logs a message that is about to be sent.
pub(crate) fn sent(header: &Header, payloads: &PayloadChain, place: impl FnOnce() -> Place) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    if let Ok(payloads) = Payloads::decode(payloads.first(), payloads.octets()) {
        log("-->", header, &payloads, place());
    }
}

/// Logs a message that was received; an encrypted one only once it has proved authentic.
pub(crate) fn received(header: &Header, payloads: &Payloads<'_>, place: Place) {
    if tracing::enabled!(tracing::Level::TRACE) {
        log("<--", header, payloads, place);
    }
}

/// Logs that a message goes out once more as it was.
pub(crate) fn repeated(contents: &[u8]) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let message = contents.strip_prefix(&NON_ESP_MARKER).unwrap_or(contents);
    if let Ok((header, _)) = Header::decode(message) {
        tracing::trace!("--> {}, once more", Head(&header));
    }
}

fn log(arrow: &str, header: &Header, payloads: &Payloads<'_>, place: Place) {
    let exchange = header.exchange_type();
    let line = Line {
        payloads,
        exchange,
        place,
    };
    tracing::trace!("{arrow} {}{line}", Head(header));
}

struct Head<'a>(&'a Header);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(header) = self;
        let star = if header.flags().is_encrypted() {
            "*"
        } else {
            ""
        };
        let (exchange, id) = (header.exchange_type(), header.message_id());
        write!(f, "HDR{star}({exchange}, {}, {id})", header.cookies())
    }
}

struct Line<'a> {
    payloads: &'a Payloads<'a>,
    exchange: ExchangeType,
    place: Place,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut identities = 0;
        for payload in self.payloads.iter() {
            f.write_str(", ")?;
            match payload.decode() {
                Ok(DecodedPayload::Identification(id)) => {
                    identities += 1;
                    f.write_str(self.identification(identities))?;
                    identification(f, &id)?;
                }
                Ok(decoded) => self.payload(f, payload.payload_type(), &decoded)?,
                Err(error) => write!(f, "{} ({error})", payload.payload_type())?,
            }
        }
        Ok(())
    }
}

impl Line<'_> {
    fn payload(
        &self,
        f: &mut fmt::Formatter<'_>,
        payload_type: PayloadType,
        decoded: &DecodedPayload<'_>,
    ) -> fmt::Result {
        match decoded {
            DecodedPayload::SecurityAssociation(sa) => security_association(f, sa),
            DecodedPayload::KeyExchange(_) => f.write_str("KE"),
            DecodedPayload::Identification(id) => identification(f, id),
            DecodedPayload::Hash(_) => f.write_str(self.hash()),
            DecodedPayload::Nonce(_) => f.write_str(match self.place {
                Place::First => "Ni",
                Place::Second | Place::Third => "Nr",
            }),
            DecodedPayload::Notification(notification) => self::notification(f, notification),
            DecodedPayload::Delete(delete) => {
                write!(f, "D({}", delete.protocol())?;
                delete.spis().try_for_each(|octets| spi(f, octets))?;
                f.write_str(")")
            }
            DecodedPayload::VendorId(vendor_id) => match vendor_id.vendor() {
                Some(vendor) => write!(f, "VID({vendor:?})"),
                None => write!(f, "{vendor_id:?}"),
            },
            DecodedPayload::NatDetection(_) => f.write_str("NAT-D"),
            DecodedPayload::NatOriginalAddress(address) => {
                write!(f, "NAT-OA({})", address.address())
            }
            DecodedPayload::Configuration(_)
            | DecodedPayload::Fragment(_)
            | DecodedPayload::Unknown(_) => write!(f, "{payload_type}"),
        }
    }

    /// As RFC 2409 names it: by who proves what in phase 1, by number after that.
    fn hash(&self) -> &'static str {
        match (self.exchange, self.place) {
            (ExchangeType::AGGRESSIVE, Place::Third) => "HASH_I",
            (ExchangeType::AGGRESSIVE, Place::First | Place::Second) => "HASH_R",
            (ExchangeType::QUICK_MODE, Place::Second) => "HASH(2)",
            (ExchangeType::QUICK_MODE, Place::Third) => "HASH(3)",
            (_, Place::First | Place::Second | Place::Third) => "HASH(1)",
        }
    }

    fn identification(&self, count: usize) -> &'static str {
        match (self.exchange, self.place, count) {
            (ExchangeType::AGGRESSIVE, Place::First, _) => "IDii",
            (ExchangeType::AGGRESSIVE, ..) => "IDir",
            (ExchangeType::QUICK_MODE, _, 1) => "IDci",
            (ExchangeType::QUICK_MODE, ..) => "IDcr",
            (_, Place::First | Place::Second | Place::Third, _) => "ID",
        }
    }
}

fn identification(f: &mut fmt::Formatter<'_>, id: &Identification<'_>) -> fmt::Result {
    match id.as_subnet() {
        Some((address, prefix_len)) => write!(f, "({address}/{prefix_len}")?,
        None => write!(f, "({} \"{}\"", id.id_type(), id.data().escape_ascii())?,
    }
    if (id.protocol(), id.port()) != (0, 0) {
        write!(f, ", protocol {} port {}", id.protocol(), id.port())?;
    }
    f.write_str(")")
}

/// What is notified, of which SA, and what the data say where their form is known.
fn notification(f: &mut fmt::Formatter<'_>, notification: &Notification<'_>) -> fmt::Result {
    let notify = notification.notify_type();
    write!(f, "N({notify}")?;
    // That of an ISAKMP SA is the cookies, which the header has.
    if notification.protocol() == ProtocolId::ESP {
        spi(f, notification.spi())?;
    }
    match notify {
        NotifyType::R_U_THERE | NotifyType::R_U_THERE_ACK => {
            if let Some(sequence) = notification.sequence() {
                write!(f, " {sequence}")?;
            }
        }
        NotifyType::RESPONDER_LIFETIME => {
            let attributes = notification.attributes();
            for attribute in attributes.iter().flat_map(Attributes::iter) {
                f.write_str(" ")?;
                self::attribute(f, notification.protocol(), &attribute)?;
            }
        }
        NotifyType::SLOT => {
            if let Some(wait) = notification.sequence() {
                write!(f, " {wait} ms")?;
            }
        }
        NotifyType::INVALID_ID_INFORMATION => {
            let ids = Payloads::decode(PayloadType::IDENTIFICATION, notification.data());
            let ids = ids.iter().flat_map(Payloads::iter);
            for id in ids.filter_map(|payload| Identification::decode(payload.body()).ok()) {
                f.write_str(" ")?;
                identification(f, &id)?;
            }
        }
        _ => {}
    }
    f.write_str(")")
}

fn spi(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    let gap = if octets.is_empty() { "" } else { " " };
    f.write_str(gap)?;
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

/// Every transform with what it says, so that two sides can be compared.
fn security_association(f: &mut fmt::Formatter<'_>, sa: &SecurityAssociation<'_>) -> fmt::Result {
    f.write_str("SA(")?;
    for (position, proposal) in sa.proposals().enumerate() {
        let gap = if position == 0 { "" } else { "; " };
        let protocol = proposal.protocol();
        write!(f, "{gap}{protocol}")?;
        spi(f, proposal.spi())?;
        for (position, transform) in proposal.transforms().enumerate() {
            let gap = if position == 0 { "" } else { "," };
            write!(f, "{gap} #{}", transform.number())?;
            if protocol == ProtocolId::ESP {
                write!(f, " {}", EspTransformId(transform.id()))?;
            }
            for attribute in transform.attributes().iter() {
                f.write_str(" ")?;
                self::attribute(f, protocol, &attribute)?;
            }
        }
    }
    f.write_str(")")
}

fn attribute(
    f: &mut fmt::Formatter<'_>,
    protocol: ProtocolId,
    attribute: &Attribute<'_>,
) -> fmt::Result {
    let number = attribute.attribute_type();
    let Some(value) = attribute.integer() else {
        return write!(f, "{number}=?");
    };
    let small = attribute.number();
    match (protocol, small) {
        (ProtocolId::ISAKMP, Some(value)) => match IkeAttribute(number) {
            IkeAttribute::ENCRYPTION_ALGORITHM => write!(f, "{}", EncryptionAlgorithm(value)),
            IkeAttribute::HASH_ALGORITHM => write!(f, "{}", HashAlgorithm(value)),
            IkeAttribute::AUTHENTICATION_METHOD => write!(f, "{}", AuthenticationMethod(value)),
            IkeAttribute::GROUP_DESCRIPTION => write!(f, "{}", GroupNumber(value)),
            IkeAttribute::LIFE_TYPE => write!(f, "{}", LifeType(value)),
            IkeAttribute::KEY_LENGTH | IkeAttribute::LIFE_DURATION => write!(f, "{value}"),
            other => write!(f, "{other}={value}"),
        },
        (ProtocolId::ESP, Some(value)) => match IpsecAttribute(number) {
            IpsecAttribute::GROUP_DESCRIPTION => write!(f, "{}", GroupNumber(value)),
            IpsecAttribute::ENCAPSULATION_MODE => write!(f, "{}", EncapsulationMode(value)),
            IpsecAttribute::AUTHENTICATION_ALGORITHM => {
                write!(f, "{}", AuthenticationAlgorithm(value))
            }
            IpsecAttribute::LIFE_TYPE => write!(f, "{}", LifeType(value)),
            IpsecAttribute::KEY_LENGTH | IpsecAttribute::LIFE_DURATION => write!(f, "{value}"),
            other => write!(f, "{other}={value}"),
        },
        (ProtocolId::ISAKMP, None) if number == IkeAttribute::LIFE_DURATION.0 => {
            write!(f, "{value}")
        }
        (ProtocolId::ESP, None) if number == IpsecAttribute::LIFE_DURATION.0 => {
            write!(f, "{value}")
        }
        _ => write!(f, "{number}={value}"),
    }
}
