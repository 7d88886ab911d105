//! Every bound of the state machine, in one place, so that memory and work can be added up.

use core::time::Duration;

/// Transforms in one proposal that we send.
pub(crate) const OFFERED_TRANSFORMS: usize = 32;

/// Datagrams waiting for [`poll_transmit`](crate::Endpoint::poll_transmit).
pub(crate) const QUEUED_TRANSMITS: usize = 65_536;

/// Events waiting for [`poll_event`](crate::Endpoint::poll_event).
pub(crate) const QUEUED_EVENTS: usize = 262_144;

/// Events in the queue beyond which strangers can cause no more.
pub(crate) const STRANGERS_EVENTS: usize = 1024;

/// How long a responder keeps an exchange whose initiator has not proved itself.
pub(crate) const HALF_OPEN_LIFETIME: Duration = Duration::from_secs(20);

/// The longest time that an initiator waits for a responder that is busy, and that a responder asks it to wait.
pub(crate) const LONGEST_SLOT: Duration = Duration::from_secs(30);

/// What a peer costs us in a second beside its key exchange, as a share of that one, while many come back.
pub(crate) const PEER_SHARE: f64 = 0.003;

/// Over how many key exchanges their time is averaged.
pub(crate) const MEASURED: u32 = 16;

/// How many times longer than those before it a key exchange is believed to have taken.
pub(crate) const BELIEVED_SLOWER: u32 = 8;

/// Until the next turn: any time that is not now.
pub(crate) const TURN_PAUSE: Duration = Duration::from_micros(1);

/// Beyond this, an initiator is asked to wait with message 3.
pub(crate) const SHORTEST_SLOT: Duration = Duration::from_millis(25);

/// How often the same message 2 is sent again because message 1 came again.
pub(crate) const MESSAGE_2_REPEATS: u8 = 6;

/// Quick mode messages held for one half-open exchange until message 3 has come.
pub(crate) const HELD_MESSAGES: usize = 4;

/// Octets of one held message.
pub(crate) const HELD_MESSAGE_LEN: usize = 2048;

/// Octets of all held messages together.
pub(crate) const HELD_OCTETS: usize = 4 << 20;

/// First messages that wait for the embedder to find credentials.
pub(crate) const PENDING_CREDENTIALS: usize = 256;

/// Those of them that may come from one prefix.
pub(crate) const PENDING_PER_PREFIX: usize = 32;

/// How long the embedder has to answer before another question may take the place of an unanswered one.
pub(crate) const PENDING_PATIENCE: Duration = Duration::from_secs(2);

/// How long after phase 1 an Informational message may carry INITIAL-CONTACT.
pub(crate) const INITIAL_CONTACT_WINDOW: Duration = Duration::from_secs(60);

/// Octets of an IKE message beyond which it is cut into fragments, if the peer understands those. It leaves room for
/// what tunnels on the way add.
pub(crate) const FRAGMENT_LEN: usize = 1200;

/// Peers of ours whose fragments wait for the rest of their messages.
pub(crate) const REASSEMBLIES: usize = 256;

/// The same for whoever sends fragments that belong to nothing known.
pub(crate) const STRANGERS_REASSEMBLIES: usize = 16;

/// How long fragments wait.
pub(crate) const FRAGMENT_LIFETIME: Duration = Duration::from_secs(20);

/// ISAKMP SAs of one peer: the newest, its predecessor, and one more while they change.
pub(crate) const ISAKMP_SAS_PER_PEER: usize = 3;

/// Inbound IPsec SAs of one pair.
pub(crate) const INBOUND_SAS_PER_PAIR: usize = 2;

/// Quick modes that a peer may have open with us as the responder, beyond one per pair.
pub(crate) const SPARE_QUICK_MODES: usize = 2;

/// How often a quick mode of ours is begun anew because the peer could not read a repeated message.
pub(crate) const QUICK_MODE_RESTARTS: u8 = 3;

/// Finished quick modes that are remembered to answer a repeated message 2.
pub(crate) const FINISHED_QUICK_MODES: usize = 16;

/// How long they are remembered.
pub(crate) const FINISHED_LIFETIME: Duration = Duration::from_secs(60);

/// How often a repeated message is answered with the same octets again.
pub(crate) const REPEATED_ANSWERS: u8 = 8;

/// Message IDs of informational exchanges that are remembered per ISAKMP SA.
pub(crate) const RECENT_INFORMATIONAL_IDS: usize = 64;

/// Message IDs of quick modes that are remembered per ISAKMP SA.
pub(crate) const RECENT_QUICK_MODE_IDS: usize = 256;

/// How long an initiator goes on sending on the SA that it has replaced, unless it hears the peer on the new one before.
/// Some responders install theirs only when message 3 has been processed, and ESP that overtakes it would be lost.
pub(crate) const SWITCH_DELAY: Duration = Duration::from_millis(500);

/// How long the inbound SA that a newer one has replaced may still receive.
pub(crate) const OVERLAP: Duration = Duration::from_secs(5);

/// How long the side that did not start a replacement waits for the other's Delete.
pub(crate) const PASSIVE_OVERLAP: Duration = Duration::from_secs(30);

/// How long an ISAKMP SA that a newer one has replaced is kept.
pub(crate) const ISAKMP_OVERLAP: Duration = Duration::from_secs(10);

/// How long a responder outlives the agreed lifetime of an ISAKMP SA, so that a late initiator still finds it.
pub(crate) const RESPONDER_GRACE: Duration = Duration::from_secs(30);

/// Pause between two unanswered probes when liveness is checked in a hurry and no round trip has been measured.
pub(crate) const LIVENESS_INTERVAL: Duration = Duration::from_millis(400);

/// The shortest such pause, where three measured round trips are shorter.
pub(crate) const LIVENESS_MIN_INTERVAL: Duration = Duration::from_millis(250);

/// Unanswered probes that make a peer dead when liveness is checked in a hurry.
pub(crate) const LIVENESS_TRIES: u32 = 4;

/// At most one hurried check per peer in this time, and one repetition of message 1 because of a hint.
pub(crate) const LIVENESS_PAUSE: Duration = Duration::from_secs(3);

/// Longest pause between two probes of an ordinary check.
pub(crate) const DPD_MAX_INTERVAL: Duration = Duration::from_secs(4);

/// Added to the measured round trip before our first quick mode message is repeated early.
pub(crate) const EARLY_REPEAT_SLACK: Duration = Duration::from_millis(20);

/// Time without datagrams after which prepared exponents are made.
pub(crate) const QUIET_TIME: Duration = Duration::from_millis(20);

/// The same in key exchanges, where those take long: between two datagrams lies one of them as long as many are served.
pub(crate) const QUIET_EXCHANGES: u32 = 4;

/// Longest pause between two prepared exponents while datagrams keep coming.
pub(crate) const POOL_PATIENCE: Duration = Duration::from_secs(1);

/// The same in key exchanges, where those take long, so that what is prepared takes little of the time of who is served.
pub(crate) const POOL_PATIENCE_EXCHANGES: u32 = 64;

/// Pause between two prepared exponents.
pub(crate) const POOL_PAUSE: Duration = Duration::from_millis(1);

/// First messages that were refused, remembered so that each is reported once.
pub(crate) const REMEMBERED_REFUSALS: usize = 256;

/// Sources that an answer to strangers is remembered for, to answer each once a second only.
pub(crate) const REMEMBERED_SOURCES: usize = 4096;
