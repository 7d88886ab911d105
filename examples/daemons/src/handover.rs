//! What a running daemon hands to its successor, so that an upgrade costs less than a second.
//!
//! The successor reads its own settings first and asks for the descriptors over the control socket; its predecessor
//! goes on with its work meanwhile. Once the successor has everything it needs it tells its predecessor to depart,
//! which gives what it knows of its branches and stops. If the successor fails before, nothing has
//! happened. Neither keys nor counters change hands: every SA is negotiated anew.
//! A hub that departs tells its branches so, which brings them back at once; who misses that is on the roll.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::io::SystemError;
use crate::roll::Line;
use crate::service::{Answer, Request};

/// Descriptors in one message at most: the kernel takes no more than 253.
const MAX_PIECES: usize = 200;
/// The longest answer: a roll of a hundred thousand branches.
const MAX_ANSWER: usize = 64 << 20;
/// How long the predecessor may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One descriptor.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Piece {
    /// A UDP socket.
    Udp {
        /// What it is bound to.
        bound: SocketAddr,
    },
    /// A raw socket for ESP.
    Esp {
        /// What it is bound to.
        address: IpAddr,
    },
    /// The TUN device.
    Tun {
        /// Its name.
        name: String,
        /// Its index.
        index: u32,
        /// Its MTU.
        mtu: u16,
        /// Whether packets go through it together.
        offload: bool,
        /// Whether UDP datagrams do.
        udp: bool,
    },
    /// The control socket, listening.
    Control {
        /// Its path.
        path: PathBuf,
    },
    /// The socket of metrics and page, listening.
    Metrics {
        /// What it is bound to.
        address: SocketAddr,
    },
}

/// Descriptors, each of which is taken once; empty where there is no predecessor.
#[derive(Debug, Default)]
pub struct Handover {
    pieces: Vec<(Piece, OwnedFd)>,
    predecessor: Option<Predecessor>,
}

/// The daemon that runs until it is told to depart.
#[derive(Debug)]
struct Predecessor {
    control: PathBuf,
    stream: UnixStream,
}

impl Handover {
    /// What is to be handed over.
    pub(crate) fn of(pieces: Vec<(Piece, OwnedFd)>) -> Self {
        Self {
            pieces,
            predecessor: None,
        }
    }

    /// Asks the daemon behind the control socket; without one there is nothing.
    ///
    /// # Errors
    ///
    /// [`SystemError`] says what to do; the daemon goes on then.
    pub fn ask(control: &Path) -> Result<Self, SystemError> {
        let stream = match UnixStream::connect(control) {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(Self::default());
            }
            Err(error) => return Err(refused(control, error)),
        };
        let mut predecessor = Predecessor {
            control: control.to_owned(),
            stream,
        };
        let (answer, fds) = predecessor.ask(&Request::Takeover)?;
        let pieces = match answer {
            Answer::Estate(pieces) if pieces.len() == fds.len() => pieces,
            other => return Err(refused(control, other.unexpected())),
        };
        Ok(Self {
            pieces: pieces.into_iter().zip(fds).collect(),
            predecessor: Some(predecessor),
        })
    }

    /// Whether there is a daemon that hands over.
    pub(crate) fn is_from_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Takes the piece that is wanted, if it is there.
    pub(crate) fn take(&mut self, wanted: impl Fn(&Piece) -> bool) -> Option<(Piece, OwnedFd)> {
        let at = self.pieces.iter().position(|(piece, _)| wanted(piece))?;
        Some(self.pieces.swap_remove(at))
    }

    /// From here on the predecessor does nothing any more; what it knows of its branches.
    ///
    /// # Errors
    ///
    /// [`SystemError`], after which the predecessor may have departed or not.
    pub(crate) fn depart(self) -> Result<Vec<Line>, SystemError> {
        let Some(mut predecessor) = self.predecessor else {
            return Ok(Vec::new());
        };
        match predecessor.ask(&Request::Depart)?.0 {
            Answer::Departed(roll) => Ok(roll),
            other => Err(refused(&predecessor.control, other.unexpected())),
        }
    }

    pub(crate) fn pieces(&self) -> Vec<Piece> {
        self.pieces.iter().map(|(piece, _)| piece.clone()).collect()
    }

    /// Sends the beginning of `answer` and every descriptor with it; how many octets went.
    pub(crate) fn send(&self, stream: BorrowedFd<'_>, answer: &[u8]) -> io::Result<usize> {
        let fds: Vec<_> = self.pieces.iter().map(|(_, fd)| fd.as_fd()).collect();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_PIECES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("too many sockets for one message"));
        }
        let sent = sendmsg(
            stream,
            &[IoSlice::new(answer)],
            &mut control,
            SendFlags::NOSIGNAL,
        );
        Ok(sent?)
    }
}

impl Predecessor {
    fn ask(&mut self, request: &Request) -> Result<(Answer, Vec<OwnedFd>), SystemError> {
        let mut ask = || -> io::Result<_> {
            self.stream.set_read_timeout(Some(PATIENCE))?;
            let mut line = serde_json::to_vec(request)?;
            line.push(b'\n');
            self.stream.write_all(&line)?;
            let (line, fds) = receive(&self.stream)?;
            Ok((serde_json::from_slice(&line)?, fds))
        };
        ask().map_err(|error| refused(&self.control, error))
    }
}

/// One line, and the descriptors that came with it.
fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut line, mut fds) = (Vec::new(), Vec::new());
    let mut piece = vec![0; 1 << 16];
    while !line.ends_with(b"\n") {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_PIECES))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut piece)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if received.bytes == 0 || MAX_ANSWER < line.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(piece.get(..received.bytes).unwrap_or_default());
    }
    Ok((line, fds))
}

fn refused(control: &Path, error: io::Error) -> SystemError {
    let remedy = if error.kind() == io::ErrorKind::PermissionDenied {
        "run this as the same user, usually root"
    } else {
        "it goes on as it is: stop it, and start this one without `--takeover`"
    };
    SystemError::new(
        format!("take over from the daemon at {}", control.display()),
        error,
        remedy,
    )
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::service::{Asked, Departure, Service};

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("handover-{name}-{}.sock", std::process::id()))
    }

    fn roll() -> Vec<Line> {
        let line = r#"{"identity":"b1","local":"198.18.2.2:500","remote":"198.18.1.2:500","cookies":"00"}"#;
        vec![serde_json::from_str(line).unwrap()]
    }

    #[test]
    fn a_successor_gets_the_sockets_first_and_the_roll_when_it_is_ready() {
        let path = path("both");
        let service = Service::begin(&path, None, &mut Handover::default(), None).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let bound = udp.local_addr().unwrap();
        let successor = {
            let path = path.clone();
            thread::spawn(move || {
                let mut handover = Handover::ask(&path).unwrap();
                assert!(handover.is_from_predecessor());
                let (_, udp) = handover
                    .take(|piece| *piece == Piece::Udp { bound })
                    .unwrap();
                assert!(
                    handover
                        .take(|piece| *piece == Piece::Udp { bound })
                        .is_none()
                );
                let control = |piece: &Piece| matches!(piece, Piece::Control { .. });
                assert!(handover.take(control).is_some());
                (UdpSocket::from(udp), handover.depart().unwrap())
            })
        };
        let mut asked_for = Vec::new();
        while !successor.is_finished() {
            for asked in service.answer(|| panic!("nobody wants a snapshot")) {
                match asked {
                    Asked::Takeover(waiting) => {
                        asked_for.push("takeover");
                        let fd = udp.as_fd().try_clone_to_owned().unwrap();
                        let mut pieces = vec![(Piece::Udp { bound }, fd)];
                        pieces.extend(service.pieces().unwrap());
                        waiting.send(Handover::of(pieces)).unwrap();
                    }
                    Asked::Depart(waiting) => {
                        asked_for.push("depart");
                        let (gone, written) = mpsc::channel();
                        let departure = Departure { roll: roll(), gone };
                        assert!(waiting.send(departure).is_ok());
                        assert!(written.recv().unwrap());
                    }
                    Asked::Snapshot(_) | Asked::Reload(_) => {}
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
        let (theirs, their_roll) = successor.join().unwrap();
        assert_eq!(asked_for, ["takeover", "depart"]);
        assert_eq!(theirs.local_addr().unwrap(), bound);
        assert_eq!(their_roll, roll());
    }

    #[test]
    fn without_a_daemon_there_is_nothing_to_take_over() {
        let mut handover = Handover::ask(&path("nobody")).unwrap();
        assert!(!handover.is_from_predecessor());
        assert!(handover.take(|_| true).is_none());
        assert_eq!(handover.depart().unwrap(), []);
    }

    #[test]
    fn nobody_is_told_to_depart_before_something_was_taken_over() {
        let path = path("depart");
        let service = Service::begin(&path, None, &mut Handover::default(), None).unwrap();
        let mut predecessor = Predecessor {
            stream: UnixStream::connect(&path).unwrap(),
            control: path,
        };
        let (answer, fds) = predecessor.ask(&Request::Depart).unwrap();
        assert!(matches!(answer, Answer::Error(_)) && fds.is_empty());
        assert!(
            service
                .answer(|| panic!("nobody wants a snapshot"))
                .is_empty()
        );
    }
}
