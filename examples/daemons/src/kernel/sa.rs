//! An SA in the words of XFRM: one message for each direction.

use core::net::{IpAddr, SocketAddr};

use ike_core::{EspCipher, EspIntegrity, EspTransform, IpsecSa, Subnet};
use netlink_packet_xfrm::constants::{IPPROTO_ESP, XFRM_MODE_TUNNEL};
use netlink_packet_xfrm::state::{DelGetMessage, ModifyMessage};
use netlink_packet_xfrm::{
    Address, Alg, AlgAead, AlgAuth, AsyncEventId, EncapTmpl, GetAsyncEventMessage, Replay,
    ReplayEsn, Selector, UserSaId, UserSaInfo, XfrmAttrs, XfrmMessage,
};
use zeroize::Zeroize as _;

/// `UDP_ENCAP_ESPINUDP`, RFC 3948.
pub(super) const ESP_IN_UDP: u16 = 2;
/// `XFRM_STATE_ESN`.
const STATE_ESN: u8 = 128;
/// Packets after which a successor is negotiated, where sequence numbers have 32 bits: three quarters of all.
const WORN_AFTER: u64 = 3 << 30;

/// The name of one direction of an SA.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Name {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) spi: u32,
}

/// Which way an SA leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    /// With an anti-replay window of so many packets.
    Inbound {
        window: u32,
    },
    Outbound,
}

/// One direction of an SA.
#[derive(Clone, Copy)]
pub(super) struct Half<'s> {
    pub(super) direction: Direction,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) spi: u32,
    pub(super) udp: bool,
    pub(super) transform: EspTransform,
    pub(super) keymat: &'s [u8],
    pub(super) from: Subnet,
    pub(super) to: Subnet,
    pub(super) reqid: u32,
}

/// Sequence numbers of an SA that go on in another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Sequence {
    Short(Replay),
    Windowed(ReplayEsn),
}

impl<'s> Half<'s> {
    /// What we receive by.
    pub(super) fn inbound(
        sa: &'s IpsecSa,
        (local, remote): (SocketAddr, SocketAddr),
        window: u16,
        reqid: u32,
    ) -> Self {
        Self {
            direction: Direction::Inbound {
                window: window.into(),
            },
            source: remote,
            destination: local,
            spi: sa.inbound_spi.get(),
            udp: sa.udp_encapsulation,
            transform: sa.transform,
            keymat: sa.inbound_keymat.as_slice(),
            from: sa.remote,
            to: sa.local,
            reqid,
        }
    }

    /// What we send by.
    pub(super) fn outbound(
        sa: &'s IpsecSa,
        (local, remote): (SocketAddr, SocketAddr),
        reqid: u32,
    ) -> Self {
        Self {
            direction: Direction::Outbound,
            source: local,
            destination: remote,
            spi: sa.outbound_spi.get(),
            udp: sa.udp_encapsulation,
            transform: sa.transform,
            keymat: sa.outbound_keymat.as_slice(),
            from: sa.local,
            to: sa.remote,
            reqid,
        }
    }

    /// An SA that carries nothing, to find out whether there can be one.
    pub(super) fn trial(
        (source, destination): (SocketAddr, SocketAddr),
        spi: u32,
        transform: EspTransform,
        keymat: &'s [u8],
        anybody: Subnet,
    ) -> Self {
        Self {
            direction: Direction::Inbound { window: 64 },
            source,
            destination,
            spi,
            udp: true,
            transform,
            keymat,
            from: anybody,
            to: anybody,
            reqid: 0,
        }
    }

    pub(super) fn name(&self) -> Name {
        Name {
            source: self.source.ip(),
            destination: self.destination.ip(),
            spi: self.spi,
        }
    }

    /// Adds it; `None` where the kernel can have no such SA.
    pub(super) fn add(&self, sequence: Option<Sequence>) -> Option<XfrmMessage> {
        Some(XfrmMessage::AddSa(self.message(sequence)?))
    }

    /// Gives the one that is there other ports.
    pub(super) fn update(&self) -> Option<XfrmMessage> {
        Some(XfrmMessage::UpdateSa(self.message(None)?))
    }

    fn message(&self, sequence: Option<Sequence>) -> Option<ModifyMessage> {
        let mut info = UserSaInfo::default();
        info.source(&self.source.ip());
        info.destination(&self.destination.ip());
        info.id.spi = self.spi;
        info.id.proto = IPPROTO_ESP;
        info.selector = selector(self.from, self.to);
        info.reqid = self.reqid;
        info.mode = XFRM_MODE_TUNNEL;
        if self.transform.esn {
            info.flags = STATE_ESN;
        } else if self.direction == Direction::Outbound {
            info.lifetime_cfg.soft_packet_limit = WORN_AFTER;
        }
        let mut nlas = algorithms(self.transform, self.keymat)?;
        let sequence = sequence.or_else(|| self.fresh());
        if let Some(Sequence::Short(replay)) = &sequence {
            nlas.push(XfrmAttrs::ReplayState(*replay));
        }
        if self.udp {
            nlas.push(XfrmAttrs::EncapsulationTemplate(EncapTmpl {
                encap_type: ESP_IN_UDP,
                encap_sport: self.source.port(),
                encap_dport: self.destination.port(),
                encap_oa: Address::default(),
            }));
        }
        if let Some(Sequence::Windowed(replay)) = sequence {
            nlas.push(XfrmAttrs::ReplayStateEsn(replay));
        }
        Some(ModifyMessage {
            user_sa_info: info,
            nlas,
        })
    }

    /// Where an SA begins. The kernel makes the bitmap by itself.
    fn fresh(&self) -> Option<Sequence> {
        let window = match self.direction {
            Direction::Inbound { window } => window,
            // Of no meaning here, but there is no ESN without it.
            Direction::Outbound if self.transform.esn => 32,
            Direction::Outbound => return None,
        };
        Some(Sequence::Windowed(ReplayEsn {
            bmp_len: window.div_ceil(32),
            replay_window: window,
            ..ReplayEsn::default()
        }))
    }
}

impl Sequence {
    /// The one among the attributes of an answer.
    pub(super) fn of(attributes: &[XfrmAttrs]) -> Option<Self> {
        attributes.iter().find_map(|attribute| match attribute {
            XfrmAttrs::ReplayState(replay) => Some(Self::Short(*replay)),
            XfrmAttrs::ReplayStateEsn(replay) => Some(Self::Windowed(replay.clone())),
            _ => None,
        })
    }

    /// Leaves out so many numbers for what we send.
    pub(super) fn skip(self, count: u32) -> Self {
        match self {
            Self::Short(replay) => Self::Short(Replay {
                oseq: replay.oseq.saturating_add(count),
                ..replay
            }),
            Self::Windowed(replay) => {
                let (oseq, carried) = replay.oseq.overflowing_add(count);
                Self::Windowed(ReplayEsn {
                    oseq,
                    oseq_hi: replay.oseq_hi.saturating_add(carried.into()),
                    ..replay
                })
            }
        }
    }
}

impl Name {
    /// Removes the SA.
    pub(super) fn delete(&self) -> XfrmMessage {
        XfrmMessage::DeleteSa(DelGetMessage {
            user_sa_id: self.id(),
            nlas: vec![XfrmAttrs::SrcAddr(Address::from_ip(&self.source))],
        })
    }

    /// Asks for its sequence numbers and what it has carried, without its keys.
    pub(super) fn ask(&self) -> XfrmMessage {
        XfrmMessage::GetAsyncEvent(GetAsyncEventMessage {
            id: AsyncEventId {
                sa_id: self.id(),
                saddr: Address::from_ip(&self.source),
                ..AsyncEventId::default()
            },
        })
    }

    fn id(&self) -> UserSaId {
        let mut id = UserSaId {
            spi: self.spi,
            proto: IPPROTO_ESP,
            ..UserSaId::default()
        };
        id.destination(&self.destination);
        id
    }
}

pub(super) fn selector(from: Subnet, to: Subnet) -> Selector {
    let mut selector = Selector::default();
    selector.source_prefix(&from.address(), from.prefix_len());
    selector.destination_prefix(&to.address(), to.prefix_len());
    selector
}

/// Key material lies as quick mode gives it: the cipher's key with its salt, then the integrity key.
fn algorithms(transform: EspTransform, keymat: &[u8]) -> Option<Vec<XfrmAttrs>> {
    let (cipher_key, integrity_key) = keymat.split_at_checked(transform.cipher.keymat_len())?;
    let cipher = match transform.cipher {
        EspCipher::AesGcm16 { .. } => {
            return Some(vec![XfrmAttrs::EncryptionAlgAead(AlgAead {
                alg_name: name("rfc4106(gcm(aes))"),
                alg_key_len: bits(cipher_key)?,
                alg_icv_len: 128,
                alg_key: cipher_key.to_vec(),
            })]);
        }
        EspCipher::AesCbc { .. } => "cbc(aes)",
        EspCipher::TripleDes => "cbc(des3_ede)",
        EspCipher::Des => "cbc(des)",
        EspCipher::Null => "ecb(cipher_null)",
        _ => return None,
    };
    let (integrity, icv_bits) = match transform.integrity? {
        EspIntegrity::HmacSha1_96 => ("hmac(sha1)", 96),
        EspIntegrity::HmacSha256_128 => ("hmac(sha256)", 128),
        EspIntegrity::HmacSha384_192 => ("hmac(sha384)", 192),
        EspIntegrity::HmacSha512_256 => ("hmac(sha512)", 256),
        EspIntegrity::HmacMd5_96 => ("hmac(md5)", 96),
        _ => return None,
    };
    Some(vec![
        XfrmAttrs::AuthenticationAlgTrunc(AlgAuth {
            alg_name: name(integrity),
            alg_key_len: bits(integrity_key)?,
            alg_trunc_len: icv_bits,
            alg_key: integrity_key.to_vec(),
        }),
        XfrmAttrs::EncryptionAlg(Alg {
            alg_name: name(cipher),
            alg_key_len: bits(cipher_key)?,
            alg_key: cipher_key.to_vec(),
        }),
    ])
}

fn bits(key: &[u8]) -> Option<u32> {
    u32::try_from(key.len() * 8).ok()
}

fn name(text: &str) -> [u8; 64] {
    let mut name = [0; 64];
    for (place, octet) in name.iter_mut().zip(text.bytes()) {
        *place = octet;
    }
    name
}

/// Overwrites the keys in a message.
pub(super) fn wipe(message: &mut XfrmMessage) {
    let (XfrmMessage::AddSa(sa) | XfrmMessage::UpdateSa(sa)) = message else {
        return;
    };
    for attribute in &mut sa.nlas {
        match attribute {
            XfrmAttrs::EncryptionAlgAead(algorithm) => algorithm.alg_key.zeroize(),
            XfrmAttrs::EncryptionAlg(algorithm) => algorithm.alg_key.zeroize(),
            XfrmAttrs::AuthenticationAlgTrunc(algorithm) => algorithm.alg_key.zeroize(),
            XfrmAttrs::AuthenticationAlg(algorithm) => algorithm.alg_key.zeroize(),
            _ => {}
        }
    }
}
