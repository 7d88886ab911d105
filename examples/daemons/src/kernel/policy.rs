//! A pair's policies in the words of XFRM.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ike_core::Subnet;
use netlink_packet_xfrm::constants::{
    AF_INET, AF_INET6, IPPROTO_ESP, XFRM_MODE_TUNNEL, XFRM_POLICY_FWD, XFRM_POLICY_IN,
    XFRM_POLICY_OUT,
};
use netlink_packet_xfrm::policy::{DelGetMessage, ModifyMessage};
use netlink_packet_xfrm::{
    Address, UserPolicyId, UserPolicyInfo, UserTemplate, XfrmAttrs, XfrmMessage,
};

use super::sa::{Name, selector};

/// The most specific pair comes first, and so has the lowest number.
const LEAST_PRIORITY: u32 = 1256;

/// The two subnets of a pair, and the number by which its SAs and policies find each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Guard {
    pub(super) local: Subnet,
    pub(super) remote: Subnet,
    pub(super) reqid: u32,
}

impl Guard {
    /// What comes from the pair's remote subnet to its local one has to come through its SAs, whether it is for
    /// this machine or to be forwarded. Refused where somebody else has such a policy.
    pub(super) fn require(&self) -> [XfrmMessage; 2] {
        let any: IpAddr = if self.local.address().is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let tunnel = Name {
            source: any,
            destination: any,
            spi: 0,
        };
        [XFRM_POLICY_IN, XFRM_POLICY_FWD]
            .map(|direction| XfrmMessage::AddPolicy(self.policy(direction, &tunnel)))
    }

    /// What is sent through the pair goes through this SA and no other.
    pub(super) fn carry(&self, outbound: &Name) -> XfrmMessage {
        XfrmMessage::UpdatePolicy(self.policy(XFRM_POLICY_OUT, outbound))
    }

    /// The end of [`carry`](Self::carry).
    pub(super) fn release(&self) -> XfrmMessage {
        delete(self.id(XFRM_POLICY_OUT))
    }

    /// The end of [`require`](Self::require).
    pub(super) fn forget(&self) -> [XfrmMessage; 2] {
        [XFRM_POLICY_IN, XFRM_POLICY_FWD].map(|direction| delete(self.id(direction)))
    }

    fn id(&self, direction: u8) -> UserPolicyId {
        UserPolicyId {
            selector: match direction {
                XFRM_POLICY_OUT => selector(self.local, self.remote),
                _ => selector(self.remote, self.local),
            },
            direction,
            ..UserPolicyId::default()
        }
    }

    fn policy(&self, direction: u8, tunnel: &Name) -> ModifyMessage {
        let UserPolicyId { selector, .. } = self.id(direction);
        let specific = u32::from(selector.prefixlen_s) + u32::from(selector.prefixlen_d);
        let mut template = UserTemplate {
            family: if tunnel.destination.is_ipv4() {
                AF_INET
            } else {
                AF_INET6
            },
            saddr: Address::from_ip(&tunnel.source),
            reqid: self.reqid,
            mode: XFRM_MODE_TUNNEL,
            ..UserTemplate::default()
        };
        template.id.daddr = Address::from_ip(&tunnel.destination);
        template.id.spi = tunnel.spi;
        template.id.proto = IPPROTO_ESP;
        ModifyMessage {
            user_policy_info: UserPolicyInfo {
                selector,
                priority: LEAST_PRIORITY - specific,
                direction,
                ..UserPolicyInfo::default()
            },
            nlas: vec![XfrmAttrs::Template(vec![template])],
        }
    }
}

/// Removes a policy, whoever has made it.
pub(super) fn delete(id: UserPolicyId) -> XfrmMessage {
    XfrmMessage::DeletePolicy(DelGetMessage {
        user_policy_id: id,
        nlas: Vec::new(),
    })
}
