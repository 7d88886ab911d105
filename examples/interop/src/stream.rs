//! A stream of octets that look random, the same each time, hashed at both ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Subcommand;
use sha2::{Digest as _, Sha256};

use crate::clock;
use crate::namespace::Namespace;

/// Where a transfer is received.
const PORT: u16 = 7777;
/// How long a transfer may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the receiver may take to listen.
const LISTEN_LIMIT: Duration = Duration::from_secs(5);

/// Octets of one write.
const CHUNK: usize = 65_536;

/// What one end of a transfer does; each prints the SHA-256 of what it sent or received.
#[derive(Debug, Subcommand)]
pub enum StreamCommand {
    /// Waits for a stream and takes it.
    Receive {
        /// Where to listen.
        address: SocketAddr,
    },
    /// Sends a stream.
    Send {
        /// Where to.
        address: SocketAddr,
        /// How many octets.
        len: u64,
    },
}

impl StreamCommand {
    /// Does it.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn run(&self) -> Result<()> {
        let hash = match *self {
            Self::Receive { address } => receive(address),
            Self::Send { address, len } => send(address, len),
        }?;
        let hash: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
        println!("{hash}");
        Ok(())
    }
}

/// A transfer that was received as it was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transfer {
    /// How long it took.
    pub elapsed: Duration,
    /// The SHA-256 at both ends.
    pub hash: String,
}

/// Sends `len` octets from one namespace to an address in another, with this program at both ends.
///
/// # Errors
///
/// When they do not arrive, or not as they were.
pub fn transfer([from, to]: [&Namespace; 2], target: &str, len: u64) -> Result<Transfer> {
    let program = std::env::current_exe()?;
    let program = program.to_string_lossy();
    let address = format!("{target}:{PORT}");
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| to.run(LIMIT, &[&program, "stream", "receive", &address]));
        clock::within(LISTEN_LIMIT, "a receiver that listens", || {
            let listening = to.run(LISTEN_LIMIT, &["ss", "-Hltn", &format!("sport = {PORT}")])?;
            Ok((!listening.stdout()?.trim().is_empty()).then_some(()))
        })?;
        let start = clock::now();
        let sent = from.run(
            LIMIT,
            &[&program, "stream", "send", &address, &len.to_string()],
        )?;
        let sent = sent.stdout()?;
        let received = receiver.join().map_err(|_| anyhow!("a thread failed"))?;
        let received = received?.stdout()?;
        ensure!(received == sent, "sent {sent} but received {received}");
        Ok(Transfer {
            elapsed: clock::since(start),
            hash: sent,
        })
    })
}

fn receive(address: SocketAddr) -> Result<Vec<u8>> {
    let (mut stream, _) = TcpListener::bind(address)?.accept()?;
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            return Ok(hash.finalize().to_vec());
        }
        hash.update(chunk.get(..len).unwrap_or_default());
    }
}

fn send(address: SocketAddr, len: u64) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("{address}"))?;
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut left = len;
    while left != 0 {
        for word in chunk.as_chunks_mut::<8>().0 {
            // xorshift64: no octet repeats in a pattern that a misplaced segment would fit.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        let now = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let part = chunk.get(..now).unwrap_or_default();
        hash.update(part);
        stream.write_all(part)?;
        left -= now as u64;
    }
    Ok(hash.finalize().to_vec())
}
