//! A trace of exchanges that reads like the diagrams of the RFCs, payload by payload and without secrets.

use core::fmt;

use crate::wire::numbers::PayloadType;
use crate::wire::{DecodedPayload, Header, PayloadChain, Payloads};

/// Logs a message that is about to be sent.
pub(crate) fn sent(header: &Header, payloads: &PayloadChain) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    if let Ok(payloads) = Payloads::decode(payloads.first(), payloads.octets()) {
        log("-->", header, &payloads);
    }
}

/// Logs a message that was received; an encrypted one only once it has proved authentic.
pub(crate) fn received(header: &Header, payloads: &Payloads<'_>) {
    if tracing::enabled!(tracing::Level::TRACE) {
        log("<--", header, payloads);
    }
}

fn log(arrow: &str, header: &Header, payloads: &Payloads<'_>) {
    let star = if header.flags().is_encrypted() {
        "HDR*"
    } else {
        "HDR"
    };
    tracing::trace!(
        "{arrow} {} {star}({}, {}){}",
        header.exchange_type(),
        header.cookies(),
        header.message_id(),
        Line(payloads)
    );
}

struct Line<'a>(&'a Payloads<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for payload in self.0.iter() {
            match payload.decode() {
                Ok(decoded) => write!(f, ", {}", Name(payload.payload_type(), &decoded))?,
                Err(error) => write!(f, ", {} ({error})", payload.payload_type())?,
            }
        }
        Ok(())
    }
}

struct Name<'a>(PayloadType, &'a DecodedPayload<'a>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            DecodedPayload::SecurityAssociation(sa) => {
                f.write_str("SA(")?;
                for proposal in sa.proposals() {
                    write!(f, " {}", proposal.protocol())?;
                    proposal
                        .transforms()
                        .try_for_each(|transform| write!(f, " #{}", transform.number()))?;
                }
                f.write_str(" )")
            }
            DecodedPayload::KeyExchange(_) => f.write_str("KE"),
            DecodedPayload::Identification(id) => match id.as_subnet() {
                Some((address, prefix_len)) => write!(f, "ID({address}/{prefix_len})"),
                None => write!(f, "ID({} \"{}\")", id.id_type(), id.data().escape_ascii()),
            },
            DecodedPayload::Hash(_) => f.write_str("HASH"),
            DecodedPayload::Nonce(_) => f.write_str("NONCE"),
            DecodedPayload::Notification(notification) => {
                write!(f, "N({})", notification.notify_type())
            }
            DecodedPayload::Delete(delete) => {
                write!(f, "D({}, {})", delete.protocol(), delete.spis().len())
            }
            DecodedPayload::VendorId(vendor_id) => write!(f, "{vendor_id:?}"),
            DecodedPayload::Configuration(_)
            | DecodedPayload::NatDetection(_)
            | DecodedPayload::NatOriginalAddress(_)
            | DecodedPayload::Fragment(_)
            | DecodedPayload::Unknown(_) => write!(f, "{}", self.0),
        }
    }
}
