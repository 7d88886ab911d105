//! The 48-octet packet header, RFC 5905 section 7.3.

use core::fmt;

use crate::duration::NtpShort;
use crate::error::DecodeError;
use crate::kiss::KissCode;
use crate::poll_interval::{PollInterval, Precision};
use crate::reader::Reader;
use crate::ref_id::ReferenceId;
use crate::timestamp::WireTimestamp;

/// Length of the header in octets.
pub const HEADER_LEN: usize = 48;

/// A packet header, decoded.
///
/// Any value encodes, and what [`encode`](Self::encode) wrote decodes to an equal value. Extension fields
/// and the message authentication code follow the header, see [`Message`](crate::message::Message).
#[expect(clippy::exhaustive_structs, reason = "48 octets on the wire, for ever")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Warning of a leap second, or of an unsynchronised clock.
    pub leap: LeapIndicator,
    /// Protocol version.
    pub version: Version,
    /// What the packet is: request, reply, broadcast.
    pub mode: Mode,
    /// Distance from a reference clock in servers.
    pub stratum: Stratum,
    /// The sender's poll interval.
    pub poll: PollInterval,
    /// The sender's clock precision.
    pub precision: Precision,
    /// Round trip to the reference clock. Signed in NTPv3.
    pub root_delay: NtpShort,
    /// Greatest error relative to the reference clock.
    pub root_dispersion: NtpShort,
    /// The sender's source of time, or a kiss code.
    pub reference_id: ReferenceId,
    /// When the sender's clock was last set or corrected.
    pub reference_time: WireTimestamp,
    /// The transmit timestamp of the packet that this one answers (T1 of the exchange).
    pub origin: WireTimestamp,
    /// When the packet that this one answers arrived (T2).
    pub receive: WireTimestamp,
    /// When this packet left (T3).
    pub transmit: WireTimestamp,
}

impl Packet {
    /// A packet with nothing but its version and mode, every other field zero.
    #[must_use]
    pub const fn new(version: Version, mode: Mode) -> Self {
        Self {
            leap: LeapIndicator::NoWarning,
            version,
            mode,
            stratum: Stratum(0),
            poll: PollInterval(0),
            precision: Precision(0),
            root_delay: NtpShort::ZERO,
            root_dispersion: NtpShort::ZERO,
            reference_id: ReferenceId::NONE,
            reference_time: WireTimestamp::ZERO,
            origin: WireTimestamp::ZERO,
            receive: WireTimestamp::ZERO,
            transmit: WireTimestamp::ZERO,
        }
    }

    /// Decodes the header at the front of `octets`; what follows is not looked at.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] below 48 octets and [`DecodeError::UnsupportedVersion`] unless the
    /// version is 1 to 4.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        // A length that the compiler knows, so that the reads below are not checked one by one.
        let header: [u8; HEADER_LEN] = Reader::new(octets).array()?;
        let mut reader = Reader::new(&header);
        let [flags, stratum, poll, precision] = reader.array()?;
        let root_delay = reader.array().map(u32::from_be_bytes)?;
        let root_dispersion = reader.array().map(u32::from_be_bytes)?;
        let reference_id = ReferenceId(reader.array()?);
        let mut timestamp = || {
            reader
                .array()
                .map(|octets| WireTimestamp(u64::from_be_bytes(octets)))
        };
        let (reference_time, origin, receive, transmit) =
            (timestamp()?, timestamp()?, timestamp()?, timestamp()?);
        Ok(Self {
            leap: LeapIndicator::from_bits(flags >> 6),
            version: Version::from_bits(flags >> 3)?,
            mode: Mode::from_bits(flags),
            stratum: Stratum(stratum),
            poll: PollInterval(poll.cast_signed()),
            precision: Precision(precision.cast_signed()),
            root_delay: NtpShort(root_delay),
            root_dispersion: NtpShort(root_dispersion),
            reference_id,
            reference_time,
            origin,
            receive,
            transmit,
        })
    }

    /// Encodes the header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let flags = (self.leap as u8) << 6 | self.version.0 << 3 | self.mode as u8;
        let mut out = [0; HEADER_LEN];
        let mut rest = out.as_mut_slice();
        let mut put = |octets: &[u8]| {
            if let Some((head, tail)) =
                core::mem::take(&mut rest).split_at_mut_checked(octets.len())
            {
                head.copy_from_slice(octets);
                rest = tail;
            }
        };
        put(&[
            flags,
            self.stratum.0,
            self.poll.0.cast_unsigned(),
            self.precision.0.cast_unsigned(),
        ]);
        put(&self.root_delay.0.to_be_bytes());
        put(&self.root_dispersion.0.to_be_bytes());
        put(&self.reference_id.0);
        for timestamp in [
            self.reference_time,
            self.origin,
            self.receive,
            self.transmit,
        ] {
            put(&timestamp.0.to_be_bytes());
        }
        out
    }

    /// The kiss code of a server's packet: stratum 0 and a text for a reference identifier.
    #[must_use]
    pub const fn kiss(&self) -> Option<KissCode> {
        match (self.stratum, self.reference_id) {
            (Stratum::UNSPECIFIED, ReferenceId::NONE) => None,
            (Stratum::UNSPECIFIED, ReferenceId(code)) => Some(KissCode(code)),
            _ => None,
        }
    }

    /// Whether the sender's clock is set: TEST6 of RFC 5905 section 8.
    #[must_use]
    pub const fn is_synchronised(&self) -> bool {
        !matches!(self.leap, LeapIndicator::Unsynchronised) && self.stratum.is_synchronised()
    }
}

/// Leap indicator, RFC 5905 section 7.3.
#[expect(clippy::exhaustive_enums, reason = "two bits on the wire")]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum LeapIndicator {
    /// No leap second in sight.
    #[default]
    NoWarning = 0,
    /// The last minute of the day has 61 seconds.
    InsertSecond = 1,
    /// The last minute of the day has 59 seconds.
    DeleteSecond = 2,
    /// The clock is not set.
    Unsynchronised = 3,
}

impl LeapIndicator {
    const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::NoWarning,
            1 => Self::InsertSecond,
            2 => Self::DeleteSecond,
            _ => Self::Unsynchronised,
        }
    }
}

/// Protocol version, 1 to 4.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(u8);

impl Version {
    /// RFC 1059.
    pub const V1: Self = Self(1);
    /// RFC 1119.
    pub const V2: Self = Self(2);
    /// RFC 1305.
    pub const V3: Self = Self(3);
    /// RFC 5905.
    pub const V4: Self = Self(4);

    /// The version with this number, if it is 1 to 4.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if matches!(number, 1..=4) {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The version's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    const fn from_bits(bits: u8) -> Result<Self, DecodeError> {
        let version = bits & 0b111;
        match Self::new(version) {
            Some(version) => Ok(version),
            None => Err(DecodeError::UnsupportedVersion { version }),
        }
    }
}

/// Packet mode, RFC 5905 figure 10.
#[expect(clippy::exhaustive_enums, reason = "three bits on the wire")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Mode {
    /// Reserved; NTPv1 leaves the field zero.
    Reserved = 0,
    /// A configured peer, wanting and offering time.
    SymmetricActive = 1,
    /// The answer of a peer that was not configured.
    SymmetricPassive = 2,
    /// A request.
    Client = 3,
    /// The reply to a request.
    Server = 4,
    /// Time for whoever listens.
    Broadcast = 5,
    /// A control message, not handled here.
    Control = 6,
    /// A private message, not handled here.
    Private = 7,
}

impl Mode {
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits & 0b111 {
            0 => Self::Reserved,
            1 => Self::SymmetricActive,
            2 => Self::SymmetricPassive,
            3 => Self::Client,
            4 => Self::Server,
            5 => Self::Broadcast,
            6 => Self::Control,
            _ => Self::Private,
        }
    }
}

/// Stratum, RFC 5905 figure 11: 1 for a server with a reference clock, one more per server behind it.
#[expect(clippy::exhaustive_structs, reason = "one octet on the wire, for ever")]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Stratum(pub u8);

impl Stratum {
    /// Unspecified or invalid; marks a kiss code.
    pub const UNSPECIFIED: Self = Self(0);
    /// A server with a reference clock.
    pub const PRIMARY: Self = Self(1);
    /// MAXSTRAT: unsynchronised. Travels as 0.
    pub const UNSYNCHRONISED: Self = Self(16);

    /// Whether the number is one of a server that has the time: 1 to 15.
    #[must_use]
    pub const fn is_synchronised(self) -> bool {
        matches!(self.0, 1..=15)
    }
}

impl fmt::Display for Stratum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's reply, captured between two chronyd 4.3.
    const REPLY: &str = "240500e700000000000000007f7f0101eead4f9a7fbe4ca3a7881fa23048bfe2\
                         eead4f9c0c94e973eead4f9c0c990518";

    fn octets(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    #[test]
    fn a_header_survives_decoding_and_encoding() {
        let octets = octets(REPLY);
        let packet = Packet::decode(&octets).unwrap();
        assert_eq!((packet.version, packet.mode), (Version::V4, Mode::Server));
        assert_eq!(packet.stratum, Stratum(5));
        assert_eq!(
            (packet.poll, packet.precision),
            (PollInterval(0), Precision(-25))
        );
        assert_eq!(packet.reference_id, ReferenceId::LOCAL);
        assert_eq!(packet.origin, WireTimestamp(0xA788_1FA2_3048_BFE2));
        assert_eq!(packet.transmit, WireTimestamp(0xEEAD_4F9C_0C99_0518));
        assert_eq!(packet.encode().as_slice(), octets);
    }

    #[test]
    fn short_packets_and_odd_versions_are_refused() {
        let mut octets = octets(REPLY);
        assert_eq!(Packet::decode(&octets[..47]), Err(DecodeError::Truncated));
        octets[0] = 5 << 3 | 3;
        assert_eq!(
            Packet::decode(&octets),
            Err(DecodeError::UnsupportedVersion { version: 5 })
        );
        octets[0] = 3;
        assert_eq!(
            Packet::decode(&octets),
            Err(DecodeError::UnsupportedVersion { version: 0 })
        );
    }

    #[test]
    fn every_value_of_the_first_octet_keeps_its_bits() {
        let mut octets = octets(REPLY);
        for flags in 0..=255 {
            octets[0] = flags;
            if let Ok(packet) = Packet::decode(&octets) {
                assert_eq!(packet.encode()[0], flags);
            }
        }
    }

    #[test]
    fn stratum_zero_with_a_text_is_a_kiss() {
        let mut packet = Packet::new(Version::V4, Mode::Server);
        assert_eq!(packet.kiss(), None);
        packet.reference_id = KissCode::RATE.reference_id();
        assert_eq!(packet.kiss(), Some(KissCode::RATE));
        packet.stratum = Stratum(1);
        assert_eq!(packet.kiss(), None);
    }
}
