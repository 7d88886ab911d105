//! Explicit congestion notification through the tunnel, RFC 6040.

use super::{InnerPacket, checksum};
use crate::error::IpError;

/// The two bits of RFC 3168 section 5.
#[expect(clippy::exhaustive_enums, reason = "two bits")]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Ecn {
    /// The transport does not know of it.
    NotCapable,
    /// ECT(1).
    Capable1,
    /// ECT(0).
    Capable0,
    /// CE: a router on the way was congested.
    CongestionExperienced,
}

impl Ecn {
    /// The lower two bits of a type of service or traffic class.
    #[must_use]
    pub const fn of_traffic_class(traffic_class: u8) -> Self {
        match traffic_class & 3 {
            0 => Self::NotCapable,
            1 => Self::Capable1,
            2 => Self::Capable0,
            _ => Self::CongestionExperienced,
        }
    }

    /// The two bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::NotCapable => 0,
            Self::Capable1 => 1,
            Self::Capable0 => 2,
            Self::CongestionExperienced => 3,
        }
    }

    /// What the inner packet goes on with, given what came in on the outer header: RFC 6040 section
    /// 4.2, figure 4. `None` if the packet is to be dropped: it met congestion, and its transport
    /// would not understand the mark.
    #[must_use]
    pub const fn decapsulated(inner: Self, outer: Self) -> Option<Self> {
        match (inner, outer) {
            (Self::NotCapable, Self::CongestionExperienced) => None,
            (Self::NotCapable, _) => Some(Self::NotCapable),
            (_, Self::CongestionExperienced) | (Self::CongestionExperienced, _) => {
                Some(Self::CongestionExperienced)
            }
            (Self::Capable0, Self::Capable1) => Some(Self::Capable1),
            (Self::Capable0 | Self::Capable1, _) => Some(inner),
        }
    }

    /// Passes what came in on the outer header on to the inner packet; `false` if the packet is to
    /// be dropped, as [`decapsulated`](Self::decapsulated) says.
    ///
    /// # Errors
    ///
    /// What [`InnerPacket::parse`] says of a packet that is none.
    pub fn pass_on(self, packet: &mut [u8]) -> Result<bool, IpError> {
        let inner = Self::of_traffic_class(InnerPacket::parse(packet)?.traffic_class());
        match Self::decapsulated(inner, self) {
            None => Ok(false),
            Some(marked) if marked == inner => Ok(true),
            Some(marked) => marked.write(packet).map(|()| true),
        }
    }

    /// Writes the two bits into a packet's header and mends its checksum.
    ///
    /// # Errors
    ///
    /// [`IpError::Truncated`] or [`IpError::UnknownVersion`] if there is no header to write to.
    pub fn write(self, packet: &mut [u8]) -> Result<(), IpError> {
        match packet {
            [first, traffic_class, _, _, _, _, _, _, _, _, c0, c1, ..] if *first >> 4 == 4 => {
                let old = [*first, *traffic_class];
                *traffic_class = (*traffic_class & !3) | self.bits();
                let checksum = checksum::updated([*c0, *c1], &old, &[*first, *traffic_class]);
                [*c0, *c1] = checksum;
                Ok(())
            }
            [first, second, ..] if *first >> 4 == 6 => {
                *second = (*second & 0xCF) | (self.bits() << 4);
                Ok(())
            }
            [first, ..] if !matches!(*first >> 4, 4 | 6) => Err(IpError::UnknownVersion {
                version: *first >> 4,
            }),
            _ => Err(IpError::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Ecn; 4] = [
        Ecn::NotCapable,
        Ecn::Capable0,
        Ecn::Capable1,
        Ecn::CongestionExperienced,
    ];

    #[test]
    fn decapsulation_follows_the_table_of_rfc_6040() {
        use Ecn::{Capable0 as E0, Capable1 as E1, CongestionExperienced as Ce, NotCapable as Not};

        // RFC 6040 section 4.2, figure 4: a row per inner field, a column per outer one.
        let table = [
            (Not, [Some(Not), Some(Not), Some(Not), None]),
            (E0, [Some(E0), Some(E0), Some(E1), Some(Ce)]),
            (E1, [Some(E1), Some(E1), Some(E1), Some(Ce)]),
            (Ce, [Some(Ce), Some(Ce), Some(Ce), Some(Ce)]),
        ];
        for (inner, row) in table {
            assert_eq!(
                ALL.map(|outer| Ecn::decapsulated(inner, outer)),
                row,
                "{inner:?}"
            );
        }
    }

    #[test]
    fn marking_keeps_the_rest_and_the_checksum() {
        let mut v4 =
            *b"\x45\xB8\x00\x14\x00\x00\x40\x00\x40\x01\x00\x00\x0A\x00\x00\x01\x0A\x00\x00\x02";
        let mut sum = checksum::Checksum::default();
        sum.add(&v4);
        [v4[10], v4[11]] = sum.finish();
        for ecn in ALL {
            ecn.write(&mut v4).unwrap();
            let mut sum = checksum::Checksum::default();
            sum.add(&v4);
            assert!(sum.is_valid());
            assert_eq!(
                InnerPacket::parse(&v4).unwrap().traffic_class(),
                0xB8 | ecn.bits()
            );
        }
        let mut v6 = [0; 40];
        [v6[0], v6[1], v6[2], v6[6]] = [0x6B, 0x8C, 0xDE, 59];
        for ecn in ALL {
            ecn.write(&mut v6).unwrap();
            assert_eq!(
                InnerPacket::parse(&v6).unwrap().traffic_class(),
                0xB8 | ecn.bits()
            );
            assert_eq!(
                (v6[0], v6[1] & 0x0F, v6[2]),
                (0x6B, 0x0C, 0xDE),
                "the flow label stays"
            );
        }
        assert_eq!(
            Ecn::NotCapable.write(&mut [0x45; 11]),
            Err(IpError::Truncated)
        );
        let unknown = Err(IpError::UnknownVersion { version: 7 });
        assert_eq!(Ecn::NotCapable.write(&mut [0x70; 40]), unknown);
    }

    #[test]
    fn congestion_outside_is_passed_on_or_drops_the_packet() {
        for (inner, passed, marked) in [
            (Ecn::NotCapable, false, Ecn::NotCapable),
            (Ecn::Capable0, true, Ecn::CongestionExperienced),
            (Ecn::CongestionExperienced, true, Ecn::CongestionExperienced),
        ] {
            let mut packet = [0; 40];
            [packet[0], packet[6]] = [0x60, 59];
            inner.write(&mut packet).unwrap();
            assert_eq!(Ecn::CongestionExperienced.pass_on(&mut packet), Ok(passed));
            assert_eq!(
                InnerPacket::parse(&packet).unwrap().traffic_class(),
                marked.bits()
            );
        }
    }

    #[test]
    fn bits_are_those_of_rfc_3168() {
        for bits in 0..4 {
            assert_eq!(Ecn::of_traffic_class(0xFC | bits).bits(), bits);
        }
    }
}
