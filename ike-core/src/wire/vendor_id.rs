//! Vendor ID payload, RFC 2408 section 3.16, and the vendor IDs that matter.

use core::fmt;

/// Vendor ID payload body.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct VendorId<'a>(&'a [u8]);

/// A vendor ID that this crate knows. What it promises is written beside each.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Vendor {
    /// NAT traversal, RFC 3947.
    Rfc3947,
    /// NAT traversal, draft-ietf-ipsec-nat-t-ike-03.
    NatTraversalDraft3,
    /// NAT traversal, draft-ietf-ipsec-nat-t-ike-02 in either spelling of its hash.
    NatTraversalDraft2,
    /// NAT traversal, draft-ietf-ipsec-nat-t-ike-00: recognised, not spoken.
    NatTraversalDraft0,
    /// Dead peer detection, RFC 3706.
    DeadPeerDetection,
    /// Fragmentation of IKE messages (Cisco and Microsoft).
    Fragmentation,
    /// XAUTH, draft-ietf-ipsec-isakmp-xauth-06.
    Xauth,
    /// Cisco Unity.
    CiscoUnity,
    /// Ours: message 3 can wait for a slot.
    Slots,
}

impl<'a> VendorId<'a> {
    /// NAT traversal, RFC 3947: MD5 of "RFC 3947".
    pub const RFC_3947: VendorId<'static> = VendorId(&[
        0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95, 0x45,
        0x2f,
    ]);
    /// NAT traversal, draft 03.
    pub const NAT_TRAVERSAL_DRAFT_3: VendorId<'static> = VendorId(&[
        0x7d, 0x94, 0x19, 0xa6, 0x53, 0x10, 0xca, 0x6f, 0x2c, 0x17, 0x9d, 0x92, 0x15, 0x52, 0x9d,
        0x56,
    ]);
    /// NAT traversal, draft 02.
    pub const NAT_TRAVERSAL_DRAFT_2: VendorId<'static> = VendorId(&[
        0xcd, 0x60, 0x46, 0x43, 0x35, 0xdf, 0x21, 0xf8, 0x7c, 0xfd, 0xb2, 0xfc, 0x68, 0xb6, 0xa4,
        0x48,
    ]);
    /// NAT traversal, draft 02, hashed with a newline at the end.
    pub const NAT_TRAVERSAL_DRAFT_2_NEWLINE: VendorId<'static> = VendorId(&[
        0x90, 0xcb, 0x80, 0x91, 0x3e, 0xbb, 0x69, 0x6e, 0x08, 0x63, 0x81, 0xb5, 0xec, 0x42, 0x7b,
        0x1f,
    ]);
    /// NAT traversal, draft 00.
    pub const NAT_TRAVERSAL_DRAFT_0: VendorId<'static> = VendorId(&[
        0x44, 0x85, 0x15, 0x2d, 0x18, 0xb6, 0xbb, 0xcd, 0x0b, 0xe8, 0xa8, 0x46, 0x95, 0x79, 0xdd,
        0xcc,
    ]);
    /// Dead peer detection, RFC 3706 section 5.1, version 1.0.
    pub const DEAD_PEER_DETECTION: VendorId<'static> = VendorId(&[
        0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc, 0x77, 0x57, 0x01,
        0x00,
    ]);
    /// Fragmentation with the capabilities that we have: base, aggressive and main mode.
    pub const FRAGMENTATION: VendorId<'static> = VendorId(&[
        0x40, 0x48, 0xb7, 0xd5, 0x6e, 0xbc, 0xe8, 0x85, 0x25, 0xe7, 0xde, 0x7f, 0x00, 0xd6, 0xc2,
        0xd3, 0xc0, 0x00, 0x00, 0x00,
    ]);
    /// XAUTH.
    pub const XAUTH: VendorId<'static> =
        VendorId(&[0x09, 0x00, 0x26, 0x89, 0xdf, 0xd6, 0xb7, 0x12]);
    /// Cisco Unity, version 1.0.
    pub const CISCO_UNITY: VendorId<'static> = VendorId(&[
        0x12, 0xf5, 0xf2, 0x8c, 0x45, 0x71, 0x68, 0xa9, 0x70, 0x2d, 0x9f, 0xe2, 0x74, 0xcc, 0x01,
        0x00,
    ]);
    /// Ours: MD5 of "ike-core: message 3 in a slot".
    pub const SLOTS: VendorId<'static> = VendorId(&[
        0x72, 0x05, 0x70, 0xc2, 0x07, 0x8e, 0xc7, 0x5e, 0x4f, 0xae, 0x6c, 0x05, 0xeb, 0x94, 0x09,
        0xf7,
    ]);

    /// Takes a body; any octets are a vendor ID.
    pub const fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// The octets.
    pub const fn octets(&self) -> &'a [u8] {
        self.0
    }

    /// The vendor, if it is one that this crate knows. Versions and capabilities that some carry
    /// after their hash are not looked at.
    pub fn vendor(&self) -> Option<Vendor> {
        const DPD_LEN: usize = 14;
        const UNITY_LEN: usize = 14;
        const HASH_LEN: usize = 16;
        let begins_with = |known: VendorId<'_>, len: usize| {
            known
                .0
                .get(..len)
                .is_some_and(|hash| self.0.starts_with(hash))
        };
        match *self {
            Self::RFC_3947 => Some(Vendor::Rfc3947),
            Self::NAT_TRAVERSAL_DRAFT_3 => Some(Vendor::NatTraversalDraft3),
            Self::NAT_TRAVERSAL_DRAFT_2 | Self::NAT_TRAVERSAL_DRAFT_2_NEWLINE => {
                Some(Vendor::NatTraversalDraft2)
            }
            Self::NAT_TRAVERSAL_DRAFT_0 => Some(Vendor::NatTraversalDraft0),
            Self::XAUTH => Some(Vendor::Xauth),
            Self::SLOTS => Some(Vendor::Slots),
            _ if begins_with(Self::DEAD_PEER_DETECTION, DPD_LEN) => Some(Vendor::DeadPeerDetection),
            _ if begins_with(Self::FRAGMENTATION, HASH_LEN) => Some(Vendor::Fragmentation),
            _ if begins_with(Self::CISCO_UNITY, UNITY_LEN) => Some(Vendor::CiscoUnity),
            _ => None,
        }
    }
}

impl fmt::Debug for VendorId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(vendor) = self.vendor() {
            return write!(f, "VendorId({vendor:?})");
        }
        f.write_str("VendorId(")?;
        self.0
            .iter()
            .try_for_each(|octet| write!(f, "{octet:02x}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_capabilities_do_not_hide_a_vendor() {
        let mut dpd = VendorId::DEAD_PEER_DETECTION.octets().to_vec();
        dpd[15] = 7;
        assert_eq!(
            VendorId::new(&dpd).vendor(),
            Some(Vendor::DeadPeerDetection)
        );
        let bare = &VendorId::FRAGMENTATION.octets()[..16];
        assert_eq!(VendorId::new(bare).vendor(), Some(Vendor::Fragmentation));
        assert_eq!(VendorId::new(&bare[..15]).vendor(), None);
    }

    #[test]
    fn nat_traversal_is_matched_whole() {
        let mut longer = VendorId::RFC_3947.octets().to_vec();
        longer.push(0);
        assert_eq!(VendorId::new(&longer).vendor(), None);
        assert_eq!(VendorId::RFC_3947.vendor(), Some(Vendor::Rfc3947));
        assert_eq!(
            VendorId::NAT_TRAVERSAL_DRAFT_2_NEWLINE.vendor(),
            VendorId::NAT_TRAVERSAL_DRAFT_2.vendor()
        );
    }

    /// Most vendor IDs are the MD5 of a text.
    #[cfg(feature = "legacy")]
    #[test]
    fn vendor_ids_are_the_hashes_of_their_texts() {
        for (text, id) in [
            ("RFC 3947", VendorId::RFC_3947),
            (
                "draft-ietf-ipsec-nat-t-ike-03",
                VendorId::NAT_TRAVERSAL_DRAFT_3,
            ),
            (
                "draft-ietf-ipsec-nat-t-ike-02",
                VendorId::NAT_TRAVERSAL_DRAFT_2,
            ),
            (
                "draft-ietf-ipsec-nat-t-ike-02\n",
                VendorId::NAT_TRAVERSAL_DRAFT_2_NEWLINE,
            ),
            (
                "draft-ietf-ipsec-nat-t-ike-00",
                VendorId::NAT_TRAVERSAL_DRAFT_0,
            ),
            ("FRAGMENTATION", VendorId::FRAGMENTATION),
            ("ike-core: message 3 in a slot", VendorId::SLOTS),
        ] {
            let hash = crate::crypto::rustcrypto::MD5.hash(&[text.as_bytes()]);
            assert_eq!(&id.octets()[..16], &hash[..], "{text}");
        }
    }

    #[test]
    fn debug_names_the_known_and_shows_the_unknown() {
        assert_eq!(format!("{:?}", VendorId::XAUTH), "VendorId(Xauth)");
        assert_eq!(
            format!("{:?}", VendorId::new(&[0xde, 0xad])),
            "VendorId(dead)"
        );
    }
}
