//! From what ike-core negotiated to the SAs that esp-core runs, and back to what they carry. The only place that names both.

use std::time::Instant;

use esp_core::{
    AesKey, Cipher, EspSuite, InboundSa, Integrity, OutboundSa, SaError, SaParameters, Selector,
    Spi, WindowSize,
};
use ike_core::{Endpoint, EspCipher, EspIntegrity, EspTransform, IpsecSa};

use crate::data_path::Usage;
use crate::pair::PairSa;
use crate::transmit::{Carrier, Path};

/// Both halves of a negotiated SA, ready to run.
pub(crate) struct Running {
    pub(crate) inbound: InboundSa,
    pub(crate) sa: PairSa,
}

/// Makes the running SAs.
pub(crate) fn run(
    negotiated: &IpsecSa,
    provider: &esp_core::CryptoProvider,
    window: WindowSize,
) -> Result<Running, SaError> {
    let suite = suite(negotiated.transform).ok_or(SaError::UnsupportedSuite)?;
    let selector = selector(negotiated).ok_or(SaError::UnsupportedSuite)?;
    let inbound_spi = spi(negotiated.inbound_spi)?;
    let outbound_spi = spi(negotiated.outbound_spi)?;
    let inbound = SaParameters::builder(
        inbound_spi,
        suite,
        negotiated.inbound_keymat.as_slice(),
        selector,
    )
    .replay_window(window)
    .build()?;
    let outbound = SaParameters::builder(
        outbound_spi,
        suite,
        negotiated.outbound_keymat.as_slice(),
        selector,
    )
    .build()?;
    let carrier = if negotiated.udp_encapsulation {
        Carrier::Udp
    } else {
        Carrier::Esp
    };
    Ok(Running {
        inbound: InboundSa::new(&inbound, provider)?,
        sa: PairSa {
            inbound_spi,
            outbound: OutboundSa::new(&outbound, provider)?,
            transform: negotiated.transform,
            path: Path {
                source: negotiated.local_address,
                destination: negotiated.remote_address,
                carrier,
            },
            confirmed: false,
        },
    })
}

/// Tells IKE what a running SA has carried.
pub(crate) fn report_usage(endpoint: &mut Endpoint, now: Instant, usage: Usage) {
    if let Some(spi) = ike_core::Spi::new(usage.inbound_spi.get()) {
        endpoint.note_inbound(now, spi, usage.source);
        endpoint.report_usage(now, spi, usage.octets);
    }
}

fn spi(spi: ike_core::Spi) -> Result<Spi, SaError> {
    Spi::new(spi.get()).map_err(|_| SaError::UnsupportedSuite)
}

fn selector(negotiated: &IpsecSa) -> Option<Selector> {
    let subnet = |subnet: ike_core::Subnet| {
        esp_core::Subnet::new(subnet.address(), subnet.prefix_len()).ok()
    };
    Selector::new(subnet(negotiated.local)?, subnet(negotiated.remote)?).ok()
}

fn suite(transform: EspTransform) -> Option<EspSuite> {
    let cipher = match transform.cipher {
        EspCipher::AesGcm16 { key_bits } => Cipher::AesGcm16(AesKey::from_bits(key_bits)?),
        EspCipher::AesCbc { key_bits } => Cipher::AesCbc(AesKey::from_bits(key_bits)?),
        EspCipher::Null => Cipher::Null,
        EspCipher::TripleDes => Cipher::TripleDes,
        EspCipher::Des => Cipher::Des,
        _ => return None,
    };
    let integrity = match transform.integrity {
        None => None,
        Some(EspIntegrity::HmacSha1_96) => Some(Integrity::HmacSha1_96),
        Some(EspIntegrity::HmacSha256_128) => Some(Integrity::HmacSha256_128),
        Some(EspIntegrity::HmacSha384_192) => Some(Integrity::HmacSha384_192),
        Some(EspIntegrity::HmacSha512_256) => Some(Integrity::HmacSha512_256),
        Some(EspIntegrity::HmacMd5_96) => Some(Integrity::HmacMd5_96),
        Some(_) => return None,
    };
    let suite = EspSuite::new(cipher, integrity).ok()?;
    Some(if transform.esn {
        suite.with_esn()
    } else {
        suite
    })
}
