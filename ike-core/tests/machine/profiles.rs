//! What the products in the field are known to send, one row each: as a branch against our hub.

use std::time::Duration;

use ike_core::wire::VendorId;
use ike_core::{Identity, PeerConfig, PreSharedKey};

use crate::odd_peer::{OddInitiator, esp_offer_with, subnet};
use crate::world::*;

struct Profile {
    product: &'static str,
    /// Type, protocol and port, then the name.
    identity: (u8, [u8; 3], &'static [u8]),
    configured: &'static str,
    vendor_ids: &'static [VendorId<'static>],
    life: Duration,
    long_attributes: bool,
    transform_number: u8,
    encrypt_third: bool,
    commit: bool,
    /// Lifetime in kilobytes and the like, in quick mode.
    phase_2: &'static [(u16, u16)],
}

const ANY: [u8; 3] = [0, 0, 0];
const UDP_500: [u8; 3] = [17, 0x01, 0xf4];

const PROFILES: [Profile; 6] = [
    Profile {
        product: "Comware V5, name",
        identity: (2, ANY, b"branch1"),
        configured: "branch1",
        vendor_ids: &[
            VendorId::NAT_TRAVERSAL_DRAFT_2_NEWLINE,
            VendorId::NAT_TRAVERSAL_DRAFT_2,
            VendorId::NAT_TRAVERSAL_DRAFT_0,
        ],
        life: Duration::from_secs(86_400),
        long_attributes: true,
        transform_number: 1,
        encrypt_third: false,
        commit: false,
        phase_2: &[(1, 2), (2, 18_432)],
    },
    Profile {
        product: "Comware V5, user FQDN",
        identity: (3, UDP_500, b"branch1@example.org"),
        configured: "branch1@example.org",
        vendor_ids: &[],
        life: Duration::from_secs(86_400),
        long_attributes: true,
        transform_number: 1,
        encrypt_third: true,
        commit: false,
        phase_2: &[(1, 2), (2, 18_432)],
    },
    Profile {
        product: "Comware V7",
        identity: (2, ANY, b"BRANCH1"),
        configured: "branch1",
        vendor_ids: &[
            VendorId::RFC_3947,
            VendorId::NAT_TRAVERSAL_DRAFT_3,
            VendorId::DEAD_PEER_DETECTION,
        ],
        life: Duration::from_secs(86_400),
        long_attributes: true,
        transform_number: 1,
        encrypt_third: true,
        commit: false,
        phase_2: &[(1, 2), (2, 18_432)],
    },
    Profile {
        product: "Cisco IOS",
        identity: (2, UDP_500, b"branch1.example.org"),
        configured: "branch1.example.org",
        vendor_ids: &[
            VendorId::RFC_3947,
            VendorId::NAT_TRAVERSAL_DRAFT_3,
            VendorId::NAT_TRAVERSAL_DRAFT_2,
            VendorId::DEAD_PEER_DETECTION,
            VendorId::CISCO_UNITY,
            VendorId::XAUTH,
            VendorId::FRAGMENTATION,
        ],
        life: Duration::from_secs(86_400),
        long_attributes: true,
        transform_number: 1,
        encrypt_third: true,
        commit: false,
        phase_2: &[(1, 2), (2, 0x4000)],
    },
    Profile {
        product: "Cisco with a group name",
        identity: (11, [17, 0, 0], b"branches"),
        configured: "keyid:branches",
        vendor_ids: &[VendorId::XAUTH, VendorId::CISCO_UNITY],
        life: Duration::from_secs(2_147_483),
        long_attributes: true,
        transform_number: 10,
        encrypt_third: true,
        commit: true,
        phase_2: &[],
    },
    Profile {
        product: "strongSwan",
        identity: (3, ANY, b"branch1@example.org"),
        configured: "branch1@example.org",
        vendor_ids: &[
            VendorId::XAUTH,
            VendorId::DEAD_PEER_DETECTION,
            VendorId::FRAGMENTATION,
            VendorId::RFC_3947,
            VendorId::NAT_TRAVERSAL_DRAFT_2_NEWLINE,
        ],
        life: Duration::from_secs(10_800),
        long_attributes: false,
        transform_number: 1,
        encrypt_third: true,
        commit: false,
        phase_2: &[],
    },
];

#[test]
fn every_known_product_comes_up_as_a_branch() {
    for profile in PROFILES {
        let product = profile.product;
        let mut odd = OddInitiator::new();
        let (id_type, [protocol, high, low], name) = profile.identity;
        odd.identity = [&[id_type, protocol, high, low], name].concat();
        let vendor_ids = profile.vendor_ids.iter();
        odd.vendor_ids = vendor_ids
            .map(|vendor_id| vendor_id.octets().to_vec())
            .collect();
        odd.life = profile.life;
        odd.long_attributes = profile.long_attributes;
        odd.transform_number = profile.transform_number;
        odd.encrypt_third = profile.encrypt_third;
        odd.commit = profile.commit;
        let configured: Identity = profile.configured.parse().unwrap();
        let hub = PeerConfig::builder(
            crate::world::name("hub"),
            configured,
            PreSharedKey::new(PSK),
        )
        .pairs(hub_pairs())
        .ike_proposals(vec!["aes128-sha256-curve25519".parse().unwrap()])
        .esp_proposals(vec!["aes128gcm16".parse().unwrap()]);
        let mut world = World::with(branch_config(), hub);
        odd.connect(&mut world);
        let offer = esp_offer_with(1, 0xc0ff_ee00, profile.phase_2);
        let (ours, theirs) = (subnet(10, 61, 1), subnet(10, 61, 3));
        odd.quick_mode(&mut world, 0x1234, &offer, &ours, &theirs);
        assert_eq!(
            world.current(Side::Hub).len(),
            1,
            "{product}\n{}",
            world.story()
        );
        let sas = world.sas(Side::Hub);
        let sa = sas.values().next().unwrap();
        let kilobytes = profile
            .phase_2
            .iter()
            .find(|(attribute, _)| *attribute == 2);
        assert_eq!(
            sa.lifetime_kilobytes,
            kilobytes.map(|(_, value)| u64::from(*value)),
            "{product}"
        );
    }
}
