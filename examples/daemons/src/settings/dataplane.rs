//! Who seals and opens.

use super::gateway;
use super::pair::PairSettings;
use super::section::{Key, Section};
use super::value;

pub(super) const DATAPLANE: Key = Key::new("dataplane", "dataplane = \"user\"");

const DATAPLANES: [(&str, DataPlane); 3] = [
    ("user", DataPlane::User),
    ("kernel", DataPlane::Kernel),
    ("auto", DataPlane::Auto),
];

/// Who seals and opens the packets of the pairs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum DataPlane {
    /// This program.
    #[default]
    User,
    /// The kernel, by XFRM.
    Kernel,
    /// The kernel where it can, else this program.
    Auto,
}

impl DataPlane {
    /// As the settings write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Kernel => "kernel",
            Self::Auto => "auto",
        }
    }
}

pub(super) fn read(root: &mut Section<'_>) -> DataPlane {
    gateway::optional(root, DATAPLANE, |item| value::word(item, &DATAPLANES)).unwrap_or_default()
}

/// A pair that the kernel's policies cannot tell from what stays at home.
pub(super) fn pair_obstacle<'p>(
    mut pairs: impl Iterator<Item = &'p PairSettings>,
) -> Option<&'static str> {
    let overlaps = |pair: &PairSettings| {
        pair.local.contains(&pair.remote) || pair.remote.contains(&pair.local)
    };
    pairs.any(overlaps).then_some(
        "`local` and `remote` of a pair overlap: the kernel would take what stays within `local` for the tunnel's",
    )
}

/// Something else in the file that the kernel cannot serve.
pub(super) fn object(
    root: &mut Section<'_>,
    dataplane: Option<DataPlane>,
    obstacle: Option<&'static str>,
) {
    let (Some(obstacle), Some(item)) = (obstacle, root.optional(DATAPLANE)) else {
        return;
    };
    match dataplane {
        Some(DataPlane::Kernel) => item.error(
            obstacle,
            "change that, or write `dataplane = \"user\"`, which serves everything",
        ),
        Some(DataPlane::Auto) => item.warning(
            format!("{obstacle}; \"auto\" takes this program's data path therefore"),
            "write `dataplane = \"user\"` to say so",
        ),
        Some(DataPlane::User) | None => {}
    }
}

/// A hub that does not answer the probes sees no proof, for what others answer passes by in the kernel.
pub(super) fn warn_unproved(root: &mut Section<'_>, dataplane: Option<DataPlane>) {
    if let (Some(DataPlane::Kernel | DataPlane::Auto), Some(item)) =
        (dataplane, root.optional(DATAPLANE))
    {
        item.warning(
            "where the kernel seals and opens, this hub cannot see whether a pair is proved unless it answers the probes",
            "leave out `serve = false`, or look at the branch's status for that",
        );
    }
}
