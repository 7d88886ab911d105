//! A kernel that is simulated: it holds SAs and policies, looks them up and checks them the way XFRM does, and seals
//! and opens by the keys that it was handed. It sees requests as octets.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use esp_core::ip::InnerPacket;
use esp_core::{
    AesKey, Cipher, EspSuite, InboundSa, Integrity, OutboundSa, SaParameters, Subnet, WindowSize,
};
use netlink_packet_core::{NLM_F_ACK, NetlinkPayload};
use netlink_packet_xfrm::constants::{AF_INET, XFRM_POLICY_IN, XFRM_POLICY_OUT};
use netlink_packet_xfrm::monitor::{
    AcquireMessage, ExpireMessage, MappingMessage, NewAsyncEventMessage,
};
use netlink_packet_xfrm::policy::ModifyMessage as PolicyMessage;
use netlink_packet_xfrm::state::ModifyMessage as SaMessage;
use netlink_packet_xfrm::{
    EncapTmpl, Lifetime, Replay, ReplayEsn, Selector, UserExpire, UserMapping, UserTemplate,
    XfrmAttrs, XfrmMessage,
};
use rustix::io::Errno;

use super::ip;
use super::netlink::{Refusal, Xfrm, encode, messages};

/// An SA is found by its destination and its SPI.
type Key = (IpAddr, u32);

#[derive(Default)]
pub(super) struct SimulatedKernel {
    pub(super) sas: BTreeMap<Key, State>,
    pub(super) policies: Vec<(u8, PolicyMessage)>,
    pub(super) notices: Vec<XfrmMessage>,
    /// Packets that a policy or an SA has refused.
    pub(super) refused: u64,
    /// What the next request is refused with.
    pub(super) refuse: Option<Errno>,
    /// How often an SA was changed in place.
    pub(super) updates: u64,
}

pub(super) struct State {
    message: SaMessage,
    outbound: OutboundSa,
    inbound: InboundSa,
    carried: Lifetime,
}

impl State {
    fn new(message: SaMessage) -> Self {
        let provider = esp_core::crypto::rustcrypto::provider();
        let info = &message.user_sa_info;
        let (suite, keymat) = suite_of(&message.nlas, info.flags & 128 != 0);
        let from = subnet(
            &info.selector.saddr,
            info.selector.prefixlen_s,
            info.selector.family,
        );
        let to = subnet(
            &info.selector.daddr,
            info.selector.prefixlen_d,
            info.selector.family,
        );
        let parameters = |(local, remote), last: u64, window| {
            let selector = esp_core::Selector::new(local, remote).unwrap();
            let spi = esp_core::Spi::new(info.id.spi).unwrap();
            SaParameters::builder(spi, suite, &keymat, selector)
                .last_sequence(last)
                .replay_window(window)
                .build()
                .unwrap()
        };
        let (mut sent, mut seen, mut window) = (0, 0, WindowSize::MIN);
        for attribute in &message.nlas {
            match attribute {
                XfrmAttrs::ReplayState(replay) => sent = replay.oseq.into(),
                XfrmAttrs::ReplayStateEsn(replay) => {
                    sent = u64::from(replay.oseq_hi) << 32 | u64::from(replay.oseq);
                    seen = u64::from(replay.seq_hi) << 32 | u64::from(replay.seq);
                    let packets = u16::try_from(replay.replay_window).unwrap().max(64);
                    window = WindowSize::new(packets).unwrap();
                }
                _ => {}
            }
        }
        let outbound = OutboundSa::new(&parameters((from, to), sent, window), &provider).unwrap();
        let inbound = InboundSa::new(&parameters((to, from), seen, window), &provider).unwrap();
        Self {
            message,
            outbound,
            inbound,
            carried: Lifetime::default(),
        }
    }

    fn encap(&self) -> Option<EncapTmpl> {
        encap_of(&self.message)
    }

    fn source(&self) -> IpAddr {
        let info = &self.message.user_sa_info;
        ip(&info.saddr, info.family)
    }
}

impl SimulatedKernel {
    /// The SAs of a pair's number, as their SPIs.
    pub(super) fn spis(&self) -> Vec<u32> {
        self.sas.keys().map(|(_, spi)| *spi).collect()
    }

    /// Sends an inner packet as a kernel does that found a route for it. `Err`: no policy takes it.
    pub(super) fn output(
        &mut self,
        packet: &[u8],
    ) -> Result<Option<(SocketAddr, SocketAddr, Vec<u8>)>, ()> {
        let inner = InnerPacket::parse(packet).unwrap();
        let template = self
            .policy(XFRM_POLICY_OUT, inner.source(), inner.destination())
            .ok_or(())?;
        let key = (ip(&template.id.daddr, template.family), template.id.spi);
        let Some(state) = self.sas.get_mut(&key) else {
            self.notices.push(XfrmMessage::Acquire(AcquireMessage {
                nlas: vec![XfrmAttrs::Template(vec![template])],
                ..AcquireMessage::default()
            }));
            self.refused += 1;
            return Ok(None);
        };
        assert_eq!(state.message.user_sa_info.reqid, template.reqid);
        assert_eq!(state.source(), ip(&template.saddr, template.family));
        let mut sealed = vec![0; state.outbound.sealed_len(packet.len())];
        let len = state.outbound.seal(packet, &mut sealed).unwrap();
        sealed.truncate(len);
        state.carried.bytes += packet.len() as u64;
        state.carried.packets += 1;
        let (from, to) = match state.encap() {
            Some(encap) => (encap.encap_sport, encap.encap_dport),
            None => (0, 0),
        };
        let source = SocketAddr::new(state.source(), from);
        Ok(Some((source, SocketAddr::new(key.0, to), sealed)))
    }

    /// Opens an ESP packet; what comes out of it has passed the policies.
    pub(super) fn input(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        esp: &[u8],
    ) -> Option<Vec<u8>> {
        let spi = u32::from_be_bytes(*esp.first_chunk()?);
        let opened = self.open((destination.ip(), spi), source, esp);
        if opened.is_none() {
            self.refused += 1;
        }
        opened
    }

    fn open(&mut self, key: Key, source: SocketAddr, esp: &[u8]) -> Option<Vec<u8>> {
        let state = self.sas.get_mut(&key)?;
        let mut octets = esp.to_vec();
        let packet = state
            .inbound
            .open_in_place(&mut octets)
            .ok()?
            .packet
            .to_vec();
        state.carried.bytes += esp.len() as u64;
        state.carried.packets += 1;
        let info = state.message.user_sa_info;
        let encap = state.encap();
        assert_eq!(encap.is_some(), source.port() != 0, "UDP as negotiated");
        let known = encap.map(|encap| SocketAddr::new(state.source(), encap.encap_sport));
        if let Some(known) = known.filter(|known| *known != source) {
            self.notices.push(mapping(&info, known, source));
        }
        let inner = InnerPacket::parse(&packet).ok()?;
        let template = self.policy(XFRM_POLICY_IN, inner.source(), inner.destination())?;
        (template.reqid == info.reqid).then_some(packet)
    }

    /// Says of every SA towards `destination` that its packets are nearly used up.
    pub(super) fn wear_out(&mut self, destination: IpAddr) {
        for (key, state) in &self.sas {
            if key.0 == destination {
                let state = state.message.user_sa_info;
                let expire = UserExpire { state, hard: 0 };
                self.notices
                    .push(XfrmMessage::Expire(ExpireMessage { expire }));
            }
        }
    }

    /// Whether a packet that came in clear may go in.
    pub(super) fn admits_in_clear(&self, packet: &[u8]) -> bool {
        let inner = InnerPacket::parse(packet).unwrap();
        self.policy(XFRM_POLICY_IN, inner.source(), inner.destination())
            .is_none()
    }

    fn policy(&self, direction: u8, source: IpAddr, destination: IpAddr) -> Option<UserTemplate> {
        let matching = self.policies.iter().filter(|(of, policy)| {
            *of == direction && takes(&policy.user_policy_info.selector, source, destination)
        });
        let (_, policy) = matching.min_by_key(|(_, policy)| policy.user_policy_info.priority)?;
        policy.nlas.iter().find_map(|attribute| match attribute {
            XfrmAttrs::Template(templates) => templates.first().copied(),
            _ => None,
        })
    }

    fn set_policy(&mut self, policy: PolicyMessage, replace: bool) -> Result<(), Errno> {
        let info = policy.user_policy_info;
        let there = self.policies.iter_mut().find(|(of, it)| {
            *of == info.direction && it.user_policy_info.selector == info.selector
        });
        match there {
            Some(_) if !replace => Err(Errno::EXIST),
            Some((_, former)) => {
                *former = policy;
                Ok(())
            }
            None => {
                self.policies.push((info.direction, policy));
                Ok(())
            }
        }
    }

    fn serve(&mut self, message: XfrmMessage) -> Result<Vec<XfrmMessage>, Errno> {
        if let Some(errno) = self.refuse.take() {
            return Err(errno);
        }
        match message {
            XfrmMessage::AddSa(sa) => {
                let key = key_of(&sa);
                if self.sas.contains_key(&key) {
                    return Err(Errno::EXIST);
                }
                self.sas.insert(key, State::new(sa));
            }
            XfrmMessage::UpdateSa(sa) => {
                let state = self.sas.get_mut(&key_of(&sa)).ok_or(Errno::SRCH)?;
                // Of all that it says, the kernel takes the ports, and only where there are ports already.
                if encap_of(&state.message).is_some() != encap_of(&sa).is_some() {
                    return Err(Errno::INVAL);
                }
                state.message.nlas = sa.nlas;
                self.updates += 1;
            }
            XfrmMessage::DeleteSa(sa) => {
                let id = sa.user_sa_id;
                let key = (ip(&id.daddr, id.family), id.spi);
                self.sas.remove(&key).ok_or(Errno::SRCH)?;
            }
            XfrmMessage::GetAsyncEvent(asked) => {
                let id = asked.id.sa_id;
                let key = (ip(&id.daddr, id.family), id.spi);
                let state = self.sas.get(&key).ok_or(Errno::SRCH)?;
                return Ok(vec![XfrmMessage::NewAsyncEvent(NewAsyncEventMessage {
                    id: asked.id,
                    nlas: vec![sequence(state), XfrmAttrs::LifetimeBytes(state.carried)],
                })]);
            }
            XfrmMessage::AddPolicy(policy) => self.set_policy(policy, false)?,
            XfrmMessage::UpdatePolicy(policy) => self.set_policy(policy, true)?,
            XfrmMessage::DeletePolicy(policy) => {
                let id = policy.user_policy_id;
                let is_it = |(direction, it): &(u8, PolicyMessage)| {
                    *direction == id.direction && it.user_policy_info.selector == id.selector
                };
                let at = self.policies.iter().position(is_it).ok_or(Errno::NOENT)?;
                self.policies.remove(at);
            }
            other => panic!("not simulated: {other:?}"),
        }
        Ok(Vec::new())
    }
}

impl Xfrm for SimulatedKernel {
    fn request(&mut self, message: XfrmMessage) -> Result<Vec<XfrmMessage>, Refusal> {
        let octets = encode(message, NLM_F_ACK, 1);
        let understood = messages(&octets).next().unwrap();
        let NetlinkPayload::InnerMessage(message) = understood.1 else {
            panic!("no request");
        };
        self.serve(message)
            .map_err(|errno| Refusal::from(io::Error::from(errno)))
    }

    fn list(&mut self, message: XfrmMessage) -> Result<Vec<XfrmMessage>, Refusal> {
        Ok(match message {
            XfrmMessage::GetPolicy(_) => {
                let policies = self.policies.iter();
                policies
                    .map(|(_, policy)| XfrmMessage::AddPolicy(policy.clone()))
                    .collect()
            }
            XfrmMessage::GetDumpSa(_) => {
                let sas = self.sas.values();
                sas.map(|state| XfrmMessage::AddSa(state.message.clone()))
                    .collect()
            }
            other => panic!("not simulated: {other:?}"),
        })
    }
}

fn key_of(sa: &SaMessage) -> Key {
    let info = &sa.user_sa_info;
    (ip(&info.id.daddr, info.family), info.id.spi)
}

fn encap_of(sa: &SaMessage) -> Option<EncapTmpl> {
    sa.nlas.iter().find_map(|attribute| match attribute {
        XfrmAttrs::EncapsulationTemplate(encap) => Some(*encap),
        _ => None,
    })
}

fn sequence(state: &State) -> XfrmAttrs {
    let sent = state.outbound.last_sequence();
    let seen = state.inbound.last_sequence();
    let windowed = state
        .message
        .nlas
        .iter()
        .find_map(|attribute| match attribute {
            XfrmAttrs::ReplayStateEsn(replay) => Some(replay),
            _ => None,
        });
    let low = |sequence: u64| u32::try_from(sequence & 0xFFFF_FFFF).unwrap();
    let high = |sequence: u64| u32::try_from(sequence >> 32).unwrap();
    match windowed {
        Some(replay) => XfrmAttrs::ReplayStateEsn(ReplayEsn {
            oseq: low(sent),
            oseq_hi: high(sent),
            seq: low(seen),
            seq_hi: high(seen),
            bmp: vec![u32::MAX; replay.bmp_len as usize],
            ..replay.clone()
        }),
        None => XfrmAttrs::ReplayState(Replay {
            oseq: low(sent),
            ..Replay::default()
        }),
    }
}

fn mapping(
    info: &netlink_packet_xfrm::UserSaInfo,
    known: SocketAddr,
    source: SocketAddr,
) -> XfrmMessage {
    let mut map = UserMapping {
        reqid: info.reqid,
        old_saddr: netlink_packet_xfrm::Address::from_ip(&known.ip()),
        new_saddr: netlink_packet_xfrm::Address::from_ip(&source.ip()),
        old_sport: known.port(),
        new_sport: source.port(),
        ..UserMapping::default()
    };
    map.id.daddr = info.id.daddr;
    map.id.spi = info.id.spi;
    map.id.family = info.family;
    map.id.proto = info.id.proto;
    XfrmMessage::Mapping(MappingMessage { map })
}

fn subnet(address: &netlink_packet_xfrm::Address, prefix_len: u8, family: u16) -> Subnet {
    Subnet::new(ip(address, family), prefix_len).unwrap()
}

fn takes(selector: &Selector, source: IpAddr, destination: IpAddr) -> bool {
    let four = selector.family == AF_INET;
    four == source.is_ipv4()
        && subnet(&selector.saddr, selector.prefixlen_s, selector.family).contains(source)
        && subnet(&selector.daddr, selector.prefixlen_d, selector.family).contains(destination)
}

/// What the kernel makes of the algorithms' names, and their keys.
fn suite_of(attributes: &[XfrmAttrs], esn: bool) -> (EspSuite, Vec<u8>) {
    let (mut cipher, mut integrity) = (None, None);
    let (mut keymat, mut integrity_key) = (Vec::new(), Vec::new());
    for attribute in attributes {
        match attribute {
            XfrmAttrs::EncryptionAlgAead(algorithm) => {
                assert_eq!(text(&algorithm.alg_name), "rfc4106(gcm(aes))");
                assert_eq!(algorithm.alg_icv_len, 128);
                assert_eq!(algorithm.alg_key_len as usize, algorithm.alg_key.len() * 8);
                let bits = u16::try_from(algorithm.alg_key_len - 32).unwrap();
                cipher = Some(Cipher::AesGcm16(AesKey::from_bits(bits).unwrap()));
                keymat.clone_from(&algorithm.alg_key);
            }
            XfrmAttrs::EncryptionAlg(algorithm) => {
                let bits = u16::try_from(algorithm.alg_key_len).unwrap();
                cipher = Some(match text(&algorithm.alg_name).as_str() {
                    "cbc(aes)" => Cipher::AesCbc(AesKey::from_bits(bits).unwrap()),
                    "ecb(cipher_null)" => Cipher::Null,
                    other => panic!("no cipher {other}"),
                });
                keymat.clone_from(&algorithm.alg_key);
            }
            XfrmAttrs::AuthenticationAlgTrunc(algorithm) => {
                integrity = Some(
                    match (text(&algorithm.alg_name).as_str(), algorithm.alg_trunc_len) {
                        ("hmac(sha1)", 96) => Integrity::HmacSha1_96,
                        ("hmac(sha256)", 128) => Integrity::HmacSha256_128,
                        ("hmac(sha384)", 192) => Integrity::HmacSha384_192,
                        ("hmac(sha512)", 256) => Integrity::HmacSha512_256,
                        other => panic!("no hash {other:?}"),
                    },
                );
                integrity_key.clone_from(&algorithm.alg_key);
            }
            _ => {}
        }
    }
    keymat.extend(integrity_key);
    let suite = EspSuite::new(cipher.unwrap(), integrity).unwrap();
    (if esn { suite.with_esn() } else { suite }, keymat)
}

fn text(name: &[u8; 64]) -> String {
    String::from_utf8_lossy(name)
        .trim_end_matches('\0')
        .to_owned()
}
