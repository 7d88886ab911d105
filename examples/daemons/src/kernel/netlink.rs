//! Requests to the kernel's XFRM, made one at a time, and what it answers.

use std::io;

use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NlasIterator,
};
use netlink_packet_xfrm::XfrmMessage;
use netlink_sys::protocols::NETLINK_XFRM;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use super::sa;

/// `NLM_F_CAPPED`: of the request, an error repeats the header only.
const CAPPED: u16 = 0x100;
/// Length of a message's header.
const HEADER_LEN: usize = 16;
/// `NLMSGERR_ATTR_MSG`: the error in words.
const IN_WORDS: u16 = 1;

/// Where requests go: the kernel, or in tests one that is simulated.
pub(crate) trait Xfrm {
    /// Makes one request; every key in it is overwritten.
    fn request(&mut self, message: XfrmMessage) -> Result<Vec<XfrmMessage>, Refusal>;

    /// Lists what there is of a kind.
    fn list(&mut self, message: XfrmMessage) -> Result<Vec<XfrmMessage>, Refusal>;
}

/// Why the kernel does not do what it was asked.
#[derive(Debug, Error)]
#[error("{}", self.text())]
pub(crate) struct Refusal {
    error: io::Error,
    /// What it says in words, where it does.
    words: Option<String>,
}

impl Refusal {
    pub(super) fn is(&self, errno: Errno) -> bool {
        crate::io::is_errno(&self.error, errno)
    }

    /// The kernel knows nothing of the SA or the policy.
    pub(super) fn is_absent(&self) -> bool {
        self.is(Errno::SRCH) || self.is(Errno::NOENT)
    }

    fn text(&self) -> String {
        match &self.words {
            Some(words) => format!("{} ({})", words, self.error),
            None => self.error.to_string(),
        }
    }

    pub(super) fn of(error: &ErrorMessage, flags: u16) -> Self {
        let repeated = if flags & CAPPED == 0 {
            let len = error.header.first_chunk().copied();
            len.map_or(HEADER_LEN, |len| u32::from_ne_bytes(len) as usize)
        } else {
            HEADER_LEN
        };
        let attributes = error.header.get(repeated.next_multiple_of(4)..);
        let mut attributes = NlasIterator::new(attributes.unwrap_or_default());
        let words = attributes.find_map(|attribute| {
            let attribute = attribute.ok().filter(|it| it.kind() == IN_WORDS)?;
            let words = String::from_utf8_lossy(attribute.value());
            Some(words.trim_end_matches(['\0', '.']).to_owned())
        });
        Self {
            error: error.to_io(),
            words,
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { error, words: None }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.error.kind(), refusal.text())
    }
}

/// A connection to XFRM.
pub(crate) struct XfrmSocket {
    socket: Socket,
    sequence: u32,
}

impl XfrmSocket {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_XFRM)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // An error in words, and without a copy of the keys that it is about. Old kernels know neither.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    fn exchange(&mut self, message: XfrmMessage, flags: u16) -> Result<Vec<XfrmMessage>, Refusal> {
        self.sequence = self.sequence.wrapping_add(1);
        let octets = encode(message, flags, self.sequence);
        self.socket.send(&octets, 0)?;
        let mut replies = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let datagram = Zeroizing::new(datagram);
            for (header, payload) in messages(&datagram) {
                if header.sequence_number != self.sequence {
                    continue;
                }
                match payload {
                    NetlinkPayload::InnerMessage(inner) => replies.push(inner),
                    NetlinkPayload::Done(_) => return Ok(replies),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(replies),
                    NetlinkPayload::Error(error) => return Err(Refusal::of(&error, header.flags)),
                    _ => {}
                }
            }
        }
    }
}

impl Xfrm for XfrmSocket {
    fn request(&mut self, message: XfrmMessage) -> Result<Vec<XfrmMessage>, Refusal> {
        self.exchange(message, NLM_F_ACK)
    }

    fn list(&mut self, message: XfrmMessage) -> Result<Vec<XfrmMessage>, Refusal> {
        self.exchange(message, NLM_F_DUMP)
    }
}

/// The octets of a request; the keys in `message` are overwritten.
pub(super) fn encode(message: XfrmMessage, flags: u16, sequence: u32) -> Zeroizing<Vec<u8>> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | flags;
    request.header.sequence_number = sequence;
    request.finalize();
    let mut octets = Zeroizing::new(vec![0; request.buffer_len()]);
    request.serialize(&mut octets);
    if let NetlinkPayload::InnerMessage(message) = &mut request.payload {
        sa::wipe(message);
    }
    octets
}

/// The messages of one netlink datagram; one that cannot be read does not hide those after it.
pub(super) fn messages(
    datagram: &[u8],
) -> impl Iterator<
    Item = (
        netlink_packet_core::NetlinkHeader,
        NetlinkPayload<XfrmMessage>,
    ),
> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let message = rest.get(..len).filter(|_| HEADER_LEN <= len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(NetlinkMessage::<XfrmMessage>::deserialize(message))
    })
    .filter_map(Result::ok)
    .map(|message| (message.header, message.payload))
}

/// Overwrites the keys that a list has brought along.
pub(super) fn wipe_all(messages: &mut [XfrmMessage]) {
    messages.iter_mut().for_each(sa::wipe);
    for message in messages {
        if let XfrmMessage::Other((_, octets)) = message {
            octets.zeroize();
        }
    }
}
