//! A virtual network.
