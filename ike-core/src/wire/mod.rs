//! The octets of ISAKMP, RFC 2408, with the IPsec DOI of RFC 2407 and the extensions in use.
//!
//! This module is open for inspection: capture tools, tests and fuzzers read and make messages
//! with it. The [endpoint](crate) never requires it of its user.
//!
//! Decoded values borrow from the received octets and keep the raw bodies, since the hashes of IKE
//! cover what was received and not what it means. A decoded value is valid by construction:
//! nested lists are checked once and then iterated without further errors. Work per message is
//! bounded by [`limits`].
//!
//! ```
//! use ike_core::wire::{Message, numbers::PayloadType};
//!
//! fn print(datagram: &[u8]) -> Result<(), ike_core::wire::DecodeError> {
//!     let message = Message::decode(datagram)?;
//!     if !message.header().flags().is_encrypted() {
//!         for payload in message.payloads()?.iter() {
//!             println!("{:?}: {:?}", payload.payload_type(), payload.decode()?);
//!         }
//!     }
//!     Ok(())
//! }
//! ```

pub mod attribute;
pub mod configuration;
pub mod delete;
pub mod fragment;
pub mod header;
pub mod identification;
pub mod limits;
pub mod nat;
pub mod notification;
pub mod numbers;
pub mod opaque;
pub mod payload;
pub mod sa;
pub mod vendor_id;

mod error;
mod message;
mod reader;
mod reassembly;
mod writer;

pub use attribute::{Attribute, AttributeList, AttributeValue, Attributes};
pub use configuration::Configuration;
pub use delete::Delete;
pub use error::DecodeError;
pub use fragment::{Fragment, fragment_message};
pub use header::{Flags, Header, Version};
pub use identification::Identification;
pub use message::Message;
pub use nat::NatOriginalAddress;
pub use notification::Notification;
pub use opaque::{Hash, KeyExchange, Nonce};
pub use payload::{DecodedPayload, Payload, PayloadChain, Payloads};
pub use reassembly::Reassembly;
pub use sa::{
    Proposal, ProposalBuilder, SecurityAssociation, SecurityAssociationBuilder, Transform,
};
pub use vendor_id::{Vendor, VendorId};
