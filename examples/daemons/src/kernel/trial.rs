//! Whether the kernel has ESP: an SA of each suite in the settings is added and removed again.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ike_core::{EspTransform, SecureRandom as _, Subnet};
use rustix::io::Errno;
use thiserror::Error;
use zeroize::Zeroizing;

use super::netlink::{Refusal, Xfrm};
use super::sa::Half;
use crate::settings::GatewaySettings;

/// An SPI that no SA of ours has: ours are random, and those below 256 are reserved.
const SPI: u32 = 0xFFFF_FFFE;

/// Why the kernel's data path cannot be used.
#[derive(Debug, Error)]
pub(crate) enum Unfit {
    /// It knows no XFRM at all.
    #[error("this kernel has no XFRM: {0}; it takes CONFIG_XFRM_USER (module xfrm_user)")]
    NoXfrm(std::io::Error),
    /// It does not let us.
    #[error("XFRM refuses: {0}; run as root, or give the program CAP_NET_ADMIN")]
    Forbidden(Refusal),
    /// It has XFRM, but not ESP.
    #[error("this kernel has no ESP over {family}: {refusal}; it takes {config} (module {module})")]
    NoEsp {
        family: &'static str,
        config: &'static str,
        module: &'static str,
        refusal: Refusal,
    },
    /// It lacks the cipher or the hash.
    #[error(
        "this kernel cannot do {suite}: {refusal}; it takes ESP (CONFIG_INET_ESP, module esp4) and the crypto of the suite ({crypto}), or leave that out of `esp`"
    )]
    NoSuite {
        suite: EspTransform,
        crypto: &'static str,
        refusal: Refusal,
    },
    /// Settings that the kernel's data path cannot serve.
    #[error("{0}")]
    Settings(&'static str),
}

/// Tries every suite of the settings, over each family that outer addresses may be of.
pub(crate) fn try_out(
    xfrm: &mut impl Xfrm,
    gateway: &GatewaySettings,
    peers: &[IpAddr],
) -> Result<(), Unfit> {
    let suites: BTreeSet<_> = gateway.esp.iter().map(|esp| esp.transform()).collect();
    let mut addresses = peers.iter().chain(&gateway.listen);
    let six = addresses.clone().any(IpAddr::is_ipv6);
    let four = addresses.clone().next().is_none() || addresses.any(IpAddr::is_ipv4);
    let wildcards: [(bool, IpAddr); 2] = [
        (four, Ipv4Addr::LOCALHOST.into()),
        (six, Ipv6Addr::LOCALHOST.into()),
    ];
    for (_, host) in wildcards.iter().filter(|(wanted, _)| *wanted) {
        for suite in &suites {
            try_suite(xfrm, *suite, SocketAddr::new(*host, gateway.nat_port))?;
        }
    }
    Ok(())
}

pub(super) fn try_suite(
    xfrm: &mut impl Xfrm,
    suite: EspTransform,
    host: SocketAddr,
) -> Result<(), Unfit> {
    // 3DES refuses keys whose parts are equal.
    let mut keymat = Zeroizing::new(vec![0; suite.keymat_len()]);
    ike_core::crypto::rustcrypto::OsRandom::new().fill(&mut keymat);
    let Ok(anybody) = Subnet::new(Ipv4Addr::UNSPECIFIED.into(), 0) else {
        return Ok(());
    };
    let half = Half::trial((host, host), SPI, suite, &keymat, anybody);
    let unknown = || Refusal::from(std::io::Error::from(Errno::NOSYS));
    let added = match half.add(None) {
        Some(message) => xfrm.request(message),
        None => Err(unknown()),
    };
    match added {
        Ok(_) => {
            let _ = xfrm.request(half.name().delete());
            Ok(())
        }
        // One that was left by a trial that did not end.
        Err(refusal) if refusal.is(Errno::EXIST) => Ok(()),
        Err(refusal) => Err(judge(suite, host.ip(), refusal)),
    }
}

fn judge(suite: EspTransform, host: IpAddr, refusal: Refusal) -> Unfit {
    if refusal.is(Errno::PERM) {
        Unfit::Forbidden(refusal)
    } else if refusal.is(Errno::PROTONOSUPPORT) {
        let (family, config, module) = if host.is_ipv4() {
            ("IPv4", "CONFIG_INET_ESP", "esp4")
        } else {
            ("IPv6", "CONFIG_INET6_ESP", "esp6")
        };
        Unfit::NoEsp {
            family,
            config,
            module,
            refusal,
        }
    } else {
        let crypto = if suite.integrity.is_none() {
            "CONFIG_CRYPTO_AES, CONFIG_CRYPTO_GCM, CONFIG_CRYPTO_SEQIV"
        } else {
            "CONFIG_CRYPTO_AUTHENC, CONFIG_CRYPTO_CBC, CONFIG_CRYPTO_HMAC, its cipher and its hash"
        };
        Unfit::NoSuite {
            suite,
            crypto,
            refusal,
        }
    }
}
