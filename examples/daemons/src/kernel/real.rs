//! The kernel of this machine, in a network namespace of the test's own; it takes root, as the gate has it.

use std::thread;

use netlink_packet_xfrm::policy::DelGetMessage as PolicyQuestion;
use netlink_packet_xfrm::state::AllocSpiMessage;
use netlink_packet_xfrm::{UserSpiInfo, XfrmMessage};
use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;

use super::flow::World;
use super::netlink::{Xfrm, XfrmSocket};
use super::path::KernelPath;
use super::sa::Name;
use super::trial::{Unfit, try_suite};
use crate::role::Role;

/// Runs a test in a thread that is alone in its network namespace. Without the right to that it is left out.
fn alone(test: impl FnOnce(XfrmSocket) + Send + 'static) {
    let thread = thread::spawn(|| {
        if unshare(CloneFlags::CLONE_NEWNET).is_ok()
            && let Ok(xfrm) = XfrmSocket::open()
        {
            test(xfrm);
        }
    });
    thread.join().unwrap();
}

fn policies(xfrm: &mut XfrmSocket) -> usize {
    let listed = xfrm.list(XfrmMessage::GetPolicy(PolicyQuestion::default()));
    listed.unwrap().len()
}

#[test]
fn it_takes_the_policies_lists_them_and_lets_them_be_swept() {
    alone(|xfrm| {
        let world = World::new("aes128gcm16", std::time::Duration::from_secs(3600));
        let pairs = world.branch_pairs();
        let guarded = || pairs.iter().copied();
        let mut path = KernelPath::new(Role::Branch, xfrm);
        path.guard(guarded()).unwrap();
        let mut hub = KernelPath::new(Role::Hub, XfrmSocket::open().unwrap());
        let refusal = hub.guard(guarded()).unwrap_err();
        assert!(refusal.is(Errno::EXIST), "{refusal}");
        hub.sweep().unwrap();
        assert_eq!(
            policies(hub.xfrm()),
            2 * pairs.len(),
            "those of the other role"
        );
        let mut next = KernelPath::new(Role::Branch, XfrmSocket::open().unwrap());
        next.sweep().unwrap();
        assert_eq!(policies(next.xfrm()), 0);
    });
}

#[test]
fn it_tells_the_sequence_numbers_of_an_sa_and_that_there_is_none() {
    alone(|mut xfrm| {
        let mut name = Name {
            source: [198, 18, 1, 2].into(),
            destination: [198, 18, 2, 2].into(),
            spi: 0,
        };
        let mut info = UserSpiInfo::default();
        info.info.source(&name.source);
        info.info.destination(&name.destination);
        info.info.id.proto = 50;
        info.info.mode = 1;
        (info.min, info.max) = (0x1000, 0x2000);
        let asked = AllocSpiMessage {
            spi_info: info,
            nlas: Vec::new(),
        };
        let made = xfrm.request(XfrmMessage::AllocSpi(asked)).unwrap();
        let Some(XfrmMessage::AddSa(sa)) = made.first() else {
            panic!("{made:?}")
        };
        name.spi = sa.user_sa_info.id.spi;
        let mut path = KernelPath::new(Role::Hub, xfrm);
        let (sequence, octets) = path.look(&name).unwrap();
        assert_eq!((sequence.is_some(), octets), (true, 0));
        path.xfrm().request(name.delete()).unwrap();
        let refusal = path.look(&name).unwrap_err();
        assert!(refusal.is_absent(), "{refusal}");
    });
}

#[test]
fn a_trial_ends_well_or_with_what_it_takes_and_leaves_nothing() {
    alone(|mut xfrm| {
        for esp in ["aes128gcm16", "aes128-sha256", "aes256-sha1"] {
            let suite = esp.parse::<ike_core::EspProposal>().unwrap().transform();
            let host = ([127, 0, 0, 1], 4500).into();
            match try_suite(&mut xfrm, suite, host) {
                Ok(()) => {}
                Err(unfit @ (Unfit::NoEsp { .. } | Unfit::NoSuite { .. })) => {
                    let said = unfit.to_string();
                    assert!(
                        said.contains("CONFIG_") && said.contains("not found"),
                        "{said}"
                    );
                }
                Err(unfit) => panic!("{unfit}"),
            }
        }
        let mut path = KernelPath::new(Role::Hub, xfrm);
        assert_eq!(path.list_sas(), 0);
    });
}
