//! A stream of octets that look random, the same each time, hashed at both ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use clap::Subcommand;
use sha2::{Digest as _, Sha256};

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
