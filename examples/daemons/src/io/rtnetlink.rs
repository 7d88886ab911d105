//! The few requests to the kernel's routing tables that a gateway needs, made one at a time.

use core::net::IpAddr;
use std::io;

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// A connection to the kernel's routing tables.
pub struct Rtnetlink {
    socket: Socket,
    sequence: u32,
}

/// A route that leads somewhere or, without an interface, refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Route {
    pub(super) destination: IpNet,
    /// Interface that it leads to; `None`: what takes it is answered with "unreachable".
    pub(super) interface: Option<u32>,
    /// The own address that connections of this machine take.
    pub(super) source: Option<IpAddr>,
    pub(super) metric: u32,
    pub(super) table: u32,
    pub(super) protocol: u8,
}

impl Route {
    /// Whether the kernel takes both for the same one, which may be replaced but not be there twice.
    pub(super) fn is_in_place_of(&self, other: &Self) -> bool {
        let key = |route: &Self| (route.destination, route.metric, route.table);
        key(self) == key(other)
    }
}

/// How the kernel would reach an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Way {
    pub(super) interface: u32,
    pub(super) source: IpAddr,
}

/// What to do with a route that exists already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Existing {
    Refuse,
    Replace,
}

impl Rtnetlink {
    /// Connects.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Gives an interface an address; having it already is fine.
    pub(super) fn add_address(&mut self, interface: u32, net: IpNet) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(net.addr());
        message.header.prefix_len = net.prefix_len();
        message.header.index = interface;
        message.attributes = vec![AddressAttribute::Address(net.addr())];
        if net.addr().is_ipv4() {
            message.attributes.push(AddressAttribute::Local(net.addr()));
        }
        let added = self.request(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        );
        match added {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.map(drop),
        }
    }

    /// Every address of this machine with the index of its interface.
    pub(super) fn addresses(&mut self) -> io::Result<Vec<(u32, IpAddr)>> {
        let replies = self.request(
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            NLM_F_DUMP,
        )?;
        let address = |reply| {
            let RouteNetlinkMessage::NewAddress(message) = reply else {
                return None;
            };
            // On a point-to-point link `Address` is the far end and `Local` the own one.
            let own = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Local(address) => Some(*address),
                    _ => None,
                });
            let any = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Address(address) => Some(*address),
                    _ => None,
                });
            Some((message.header.index, own.or(any)?))
        };
        Ok(replies.into_iter().filter_map(address).collect())
    }

    pub(super) fn add_route(&mut self, route: &Route, existing: Existing) -> io::Result<()> {
        let flags = match existing {
            Existing::Refuse => NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            Existing::Replace => NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
        };
        self.request(RouteNetlinkMessage::NewRoute(route_message(route)), flags)
            .map(drop)
    }

    /// Removes a route; its being gone already is fine.
    pub(super) fn remove_route(&mut self, route: &Route) -> io::Result<()> {
        let removed = self.request(
            RouteNetlinkMessage::DelRoute(route_message(route)),
            NLM_F_ACK,
        );
        match removed {
            Err(error) if super::is_errno(&error, rustix::io::Errno::SRCH) => Ok(()),
            other => other.map(drop),
        }
    }

    /// The routes of these protocol numbers, as an earlier run may have left them.
    pub(super) fn routes_of(&mut self, protocols: &[u8]) -> io::Result<Vec<Route>> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            // A kernel without IPv6 has no such routes.
            let Ok(replies) = self.request(RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)
            else {
                continue;
            };
            routes.extend(
                replies
                    .into_iter()
                    .filter_map(listed_route)
                    .filter(|route| protocols.contains(&route.protocol)),
            );
        }
        Ok(routes)
    }

    /// How the kernel would reach `destination`, if at all.
    pub(super) fn way_to(&mut self, destination: IpAddr) -> Option<Way> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(destination);
        message.header.destination_prefix_length = if destination.is_ipv4() { 32 } else { 128 };
        message.attributes = vec![RouteAttribute::Destination(destination.into())];
        let replies = self
            .request(RouteNetlinkMessage::GetRoute(message), NLM_F_ACK)
            .ok()?;
        replies.into_iter().find_map(|reply| {
            let RouteNetlinkMessage::NewRoute(message) = reply else {
                return None;
            };
            let mut interface = None;
            let mut source = None;
            for attribute in &message.attributes {
                match attribute {
                    RouteAttribute::Oif(index) => interface = Some(*index),
                    RouteAttribute::PrefSource(address) => source = ip_of(address),
                    _ => {}
                }
            }
            Some(Way {
                interface: interface?,
                source: source?,
            })
        })
    }

    /// Whether the interface is up and has a carrier.
    pub(super) fn is_running(&mut self, interface: u32) -> bool {
        let mut message = LinkMessage::default();
        message.header.index = interface;
        let replies = self.request(RouteNetlinkMessage::GetLink(message), NLM_F_ACK);
        replies.unwrap_or_default().iter().any(|reply| match reply {
            RouteNetlinkMessage::NewLink(link) => link
                .header
                .flags
                .contains(LinkFlags::Up | LinkFlags::LowerUp),
            _ => false,
        })
    }

    /// One request, and what comes back until its acknowledgement or the end of its dump.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut octets = vec![0; request.buffer_len()];
        request.serialize(&mut octets);
        self.socket.send(&octets, 0)?;
        let mut replies = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            for reply in messages(&datagram) {
                let Ok(reply) = reply else { continue };
                if reply.header.sequence_number != self.sequence {
                    continue;
                }
                match reply.payload {
                    NetlinkPayload::InnerMessage(inner) => replies.push(inner),
                    NetlinkPayload::Done(_) => return Ok(replies),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(replies),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }
}

/// The messages of one netlink datagram; one that cannot be read does not hide those after it.
pub(super) fn messages(
    datagram: &[u8],
) -> impl Iterator<Item = Result<NetlinkMessage<RouteNetlinkMessage>, netlink_packet_core::DecodeError>>
{
    let mut rest = datagram;
    core::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
        let message = rest.get(..length).filter(|message| !message.is_empty())?;
        // Messages begin at multiples of four octets.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(NetlinkMessage::deserialize(message))
    })
}

fn route_message(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(route.destination.addr());
    message.header.destination_prefix_length = route.destination.prefix_len();
    // The header has room for the first tables only.
    message.header.table = u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    message.header.protocol = RouteProtocol::from(route.protocol);
    message.header.scope = if route.interface.is_some() {
        RouteScope::Link
    } else {
        RouteScope::Universe
    };
    message.header.kind = if route.interface.is_some() {
        RouteType::Unicast
    } else {
        RouteType::Unreachable
    };
    let destination = RouteAttribute::Destination(route.destination.network().into());
    message.attributes = vec![
        destination,
        RouteAttribute::Priority(route.metric),
        RouteAttribute::Table(route.table),
    ];
    message
        .attributes
        .extend(route.interface.map(RouteAttribute::Oif));
    message.attributes.extend(
        route
            .source
            .map(|source| RouteAttribute::PrefSource(source.into())),
    );
    message
}

/// A route of a dump, if it is of a kind that this program makes.
fn listed_route(reply: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = reply else {
        return None;
    };
    let header = &message.header;
    let mut network = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let (mut interface, mut source, mut metric) = (None, None, 0);
    let mut table = u32::from(header.table);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => network = ip_of(address)?,
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::PrefSource(address) => source = ip_of(address),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    // IPv6 hangs its refusing routes on the loopback.
    let interface = match header.kind {
        RouteType::Unreachable => None,
        RouteType::Unicast => Some(interface?),
        _ => return None,
    };
    Some(Route {
        destination: IpNet::new(network, header.destination_prefix_length).ok()?,
        interface,
        source,
        metric,
        table,
        protocol: header.protocol.into(),
    })
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route {
            destination: "10.61.1.0/24".parse().unwrap(),
            interface: Some(7),
            source: Some([10, 61, 3, 26].into()),
            metric: 4_261_412_864,
            table: 254,
            protocol: 180,
        }
    }

    #[test]
    fn a_route_comes_back_from_a_dump_as_it_was_made() {
        let refusing = Route {
            destination: "2001:db8:1::/48".parse().unwrap(),
            interface: None,
            source: None,
            ..route()
        };
        let elsewhere = Route {
            table: 100_000,
            ..route()
        };
        for route in [route(), refusing, elsewhere] {
            let reply = RouteNetlinkMessage::NewRoute(route_message(&route));
            assert_eq!(listed_route(reply), Some(route));
        }
    }

    #[test]
    fn a_table_beyond_the_headers_room_is_named_by_its_attribute() {
        let message = route_message(&Route {
            table: 1000,
            ..route()
        });
        assert_eq!(message.header.table, RouteHeader::RT_TABLE_UNSPEC);
        assert!(message.attributes.contains(&RouteAttribute::Table(1000)));
    }
}
