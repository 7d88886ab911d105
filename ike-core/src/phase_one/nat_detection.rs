//! Whether addresses are translated on the way, RFC 3947 section 3.2, and which dialect says so.

use core::net::{IpAddr, SocketAddr};

use crate::cookie::CookiePair;
use crate::crypto::{Digest, Hash, SecureRandom};
use crate::event::NatDetection;
use crate::wire::numbers::{EncapsulationMode, PayloadType};
use crate::wire::{PayloadChain, Payloads, Vendor, VendorId};

/// Which specification of NAT traversal both ends understand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NatTraversal {
    /// RFC 3947.
    Rfc,
    /// Draft 02 or 03 of it, which differ from it in numbers only.
    Draft(VendorId<'static>),
}

impl NatTraversal {
    /// The vendor IDs that an initiator sends, the preferred one first.
    pub(crate) const OFFERED: [VendorId<'static>; 4] = [
        VendorId::RFC_3947,
        VendorId::NAT_TRAVERSAL_DRAFT_3,
        VendorId::NAT_TRAVERSAL_DRAFT_2_NEWLINE,
        VendorId::NAT_TRAVERSAL_DRAFT_2,
    ];

    /// The best that the peer's vendor IDs allow, in whatever order they came.
    pub(crate) fn choose(payloads: &Payloads<'_>) -> Option<Self> {
        let mut best: Option<Self> = None;
        for payload in payloads.of_type(PayloadType::VENDOR_ID) {
            let vendor_id = VendorId::new(payload.body());
            let Some(vendor) = vendor_id.vendor() else {
                continue;
            };
            match vendor {
                Vendor::Rfc3947 => return Some(Self::Rfc),
                Vendor::NatTraversalDraft3 => {
                    best = Some(Self::Draft(VendorId::NAT_TRAVERSAL_DRAFT_3))
                }
                Vendor::NatTraversalDraft2 => {
                    // The answer repeats the spelling of the question.
                    let known = Self::OFFERED.into_iter().find(|known| *known == vendor_id);
                    best = best.or_else(|| known.map(Self::Draft));
                }
                Vendor::NatTraversalDraft0
                | Vendor::DeadPeerDetection
                | Vendor::Fragmentation
                | Vendor::Xauth
                | Vendor::CiscoUnity
                | Vendor::Slots => {}
            }
        }
        best
    }

    /// The vendor ID by which a responder confirms the choice.
    pub(crate) fn vendor_id(self) -> VendorId<'static> {
        match self {
            Self::Rfc => VendorId::RFC_3947,
            Self::Draft(vendor_id) => vendor_id,
        }
    }

    /// Payload type of NAT-D.
    pub(crate) fn payload_type(self) -> PayloadType {
        match self {
            Self::Rfc => PayloadType::NAT_D,
            Self::Draft(_) => PayloadType::NAT_D_DRAFT,
        }
    }

    /// Encapsulation mode of ESP in UDP.
    pub(crate) fn udp_tunnel(self) -> EncapsulationMode {
        match self {
            Self::Rfc => EncapsulationMode::UDP_TUNNEL,
            Self::Draft(_) => EncapsulationMode::UDP_TUNNEL_DRAFT,
        }
    }

    /// Appends both NAT-D payloads: the destination of this message first, then its source.
    ///
    /// With `feign`, the source is something else: the peer then believes in a NAT and encapsulates.
    pub(crate) fn push_payloads(
        self,
        chain: &mut PayloadChain,
        hasher: &NatHasher,
        path: (SocketAddr, SocketAddr),
        feign: Option<&dyn SecureRandom>,
    ) {
        let (source, destination) = path;
        chain.push(self.payload_type(), &hasher.hash(destination));
        let mut own = hasher.hash(source).to_vec();
        if let Some(random) = feign {
            random.fill(&mut own);
        }
        chain.push(self.payload_type(), &own);
    }

    /// Compares the peer's NAT-D payloads with the addresses of the message that they came in.
    ///
    /// `alternatives` are addresses that a peer may have hashed instead, since implementations differ on whether
    /// message 3 names the ports from before or after the change.
    pub(crate) fn detect(
        self,
        payloads: &Payloads<'_>,
        hasher: &NatHasher,
        ours: &[SocketAddr],
        theirs: &[SocketAddr],
    ) -> NatDetection {
        let hashes = |addresses: &[SocketAddr]| -> Vec<Digest> {
            let distinct = addresses.iter().enumerate();
            distinct
                .filter(|(at, address)| !addresses.iter().take(*at).any(|other| other == *address))
                .map(|(_, address)| hasher.hash(*address))
                .collect()
        };
        let bodies = || {
            let of_type = payloads.of_type(self.payload_type());
            of_type.map(|payload| payload.body())
        };
        let names = |hashes: &[Digest]| {
            bodies().any(|body| hashes.iter().any(|hash| hash.as_slice() == body))
        };
        // The destination comes first and then the peer's addresses, of which it may have several. A hash says what it
        // is of, so that peers which send them in another order do no harm.
        NatDetection {
            local: 0 < bodies().count() && !names(&hashes(ours)),
            remote: 1 < bodies().count() && !names(&hashes(theirs)),
        }
    }
}

/// `HASH(CKY-I | CKY-R | IP | Port)` with the negotiated hash.
pub(crate) struct NatHasher {
    hash: &'static dyn Hash,
    cookies: CookiePair,
}

impl NatHasher {
    pub(crate) fn new(hash: &'static dyn Hash, cookies: CookiePair) -> Self {
        Self { hash, cookies }
    }

    pub(crate) fn hash(&self, address: SocketAddr) -> Digest {
        let port = address.port().to_be_bytes();
        let cookies = self.cookies.octets();
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => self.hash.hash(&[&cookies, &ip.octets(), &port]),
            IpAddr::V6(ip) => self.hash.hash(&[&cookies, &ip.octets(), &port]),
        }
    }
}
