//! How a machine takes what comes from the outer network: IKE goes to ike-core and ESP to the data path, one by one or,
//! where packets of one SA follow each other, several together.

mod run;

use core::net::{IpAddr, SocketAddr};
use std::time::Instant;

use esp_core::encapsulation::{UdpPayload, classify};

use self::run::{Flow, Run};
use crate::data_path::{Arrival, DataPath, Received, Usage};
use crate::datagram::Datagram;
use crate::error::DatagramError;
use crate::transmit::Carrier;

/// What is seen of an ESP packet without opening it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outside {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// Octets, from the SPI on.
    pub(crate) len: usize,
}

/// A machine that has an IKE endpoint and a data path. What becomes of a message or an opened packet is the machine's;
/// which of the two a datagram is, and what is opened together, is the same for all.
pub(crate) trait Intake {
    /// The own UDP port of ESP, on which IKE is marked.
    fn nat_port(&self) -> u16;

    /// What stands for the ports of ESP right above IP, which has none.
    fn raw_port(&self) -> u16;

    fn data_path(&self) -> &DataPath;

    fn data_path_mut(&mut self) -> &mut DataPath;

    /// Gives a message to ike-core, and takes over what comes of it.
    fn take_message(
        &mut self,
        now: Instant,
        message: ike_core::Datagram<'_>,
    ) -> Result<(), ike_core::DatagramError>;

    /// Takes over what opening an ESP packet has given.
    fn take_opened<'a>(
        &mut self,
        now: Instant,
        outside: Outside,
        opened: Result<(Option<Usage>, Option<Arrival<'a>>), DatagramError>,
    ) -> Result<Received<'a>, DatagramError>;

    /// Takes the payload of a UDP datagram.
    fn take_datagram<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        contents: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        if destination.port() == self.nat_port() {
            match classify(contents) {
                UdpPayload::Esp => return self.take_esp(now, source, destination, contents),
                UdpPayload::Keepalive => return Ok(Received::Consumed),
                UdpPayload::Ike(_) => {}
                UdpPayload::Malformed => return Err(self.dropped(DatagramError::Malformed)),
            }
        }
        let message = ike_core::Datagram {
            source,
            destination,
            contents,
        };
        match self.take_message(now, message) {
            Ok(()) => Ok(Received::Consumed),
            Err(error) => Err(self.dropped(DatagramError::Ike(error))),
        }
    }

    /// Takes an ESP packet that came right above IP.
    fn take_raw_esp<'a>(
        &mut self,
        now: Instant,
        source: IpAddr,
        destination: IpAddr,
        esp: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let port = self.raw_port();
        let (source, destination) = (
            SocketAddr::new(source, port),
            SocketAddr::new(destination, port),
        );
        self.take_esp(now, source, destination, esp)
    }

    fn take_esp<'a>(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        esp: &'a mut [u8],
    ) -> Result<Received<'a>, DatagramError> {
        let outside = Outside {
            source,
            destination,
            len: esp.len(),
        };
        let opened = self.data_path_mut().open(now, source, esp);
        self.take_opened(now, outside, opened)
    }

    /// Takes datagrams that came together, in their order, and tells `each` what became of every one and where it came
    /// from.
    fn take_batch<'a>(
        &mut self,
        now: Instant,
        datagrams: impl Iterator<Item = Datagram<'a>>,
        mut each: impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        let mut run = Run::default();
        for datagram in datagrams {
            let flow = self.flow(&datagram);
            if flow.is_none_or(|flow| !run.takes(flow)) {
                self.take_run(now, &mut run, &mut each);
            }
            match flow {
                Some(flow) => run.push(flow, datagram.contents),
                None => each(datagram.source, self.take_single(now, datagram)),
            }
        }
        self.take_run(now, &mut run, &mut each);
    }

    /// The flow of an ESP packet that gains from being opened with others.
    fn flow(&self, datagram: &Datagram<'_>) -> Option<Flow> {
        let (source, destination) = match datagram.carrier {
            Carrier::Udp => {
                let encapsulated = datagram.destination.port() == self.nat_port()
                    && matches!(classify(datagram.contents), UdpPayload::Esp);
                encapsulated.then_some((datagram.source, datagram.destination))?
            }
            Carrier::Esp => (
                SocketAddr::new(datagram.source.ip(), self.raw_port()),
                SocketAddr::new(datagram.destination.ip(), self.raw_port()),
            ),
        };
        Some(Flow {
            spi: self.data_path().gathers(datagram.contents)?,
            source,
            destination,
        })
    }

    /// Opens together what is in the run, and leaves it empty.
    fn take_run<'a>(
        &mut self,
        now: Instant,
        run: &mut Run<'a>,
        each: &mut impl FnMut(SocketAddr, Result<Received<'a>, DatagramError>),
    ) {
        let Some((flow, mut slots)) = run.take() else {
            return;
        };
        self.data_path_mut().open_batch(flow.spi, &mut slots);
        for slot in slots {
            let outside = Outside {
                source: flow.source,
                destination: flow.destination,
                len: slot.esp_len(),
            };
            let opened = self
                .data_path_mut()
                .settle(now, flow.source, flow.spi, slot);
            each(flow.source, self.take_opened(now, outside, opened));
        }
    }

    fn take_single<'a>(
        &mut self,
        now: Instant,
        datagram: Datagram<'a>,
    ) -> Result<Received<'a>, DatagramError> {
        let Datagram {
            source,
            destination,
            carrier,
            contents,
        } = datagram;
        match carrier {
            Carrier::Udp => self.take_datagram(now, source, destination, contents),
            Carrier::Esp => self.take_raw_esp(now, source.ip(), destination.ip(), contents),
        }
    }

    /// Counts what is dropped.
    fn dropped(&mut self, error: DatagramError) -> DatagramError {
        self.data_path_mut().stats.drop(error.reason(), 1);
        error
    }
}
