//! Settings: what the embedder decides, checked when it is built and immutable from then on.

mod endpoint;
mod identity;
mod peer;
mod proposal;
mod psk;
mod retransmission;
mod subnet;

pub use self::endpoint::{EndpointConfig, EndpointConfigBuilder, KeyLog, StaticCredentials};
pub use self::identity::{Identity, IdentityError};
pub use self::peer::{Encapsulation, PairIndex, PeerConfig, PeerConfigBuilder, SelectorPair};
pub use self::proposal::{
    EspCipher, EspIntegrity, EspProposal, EspTransform, IkeProposal, ProposalError,
};
pub use self::psk::PreSharedKey;
pub use self::retransmission::Retransmission;
pub use self::subnet::{Subnet, SubnetError};
