//! Where one case works: its directory, its sockets, the prefix of its namespaces.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::lab::Role;
use crate::settings::DataPath;

/// One case's place, not shared with any other.
#[derive(Debug)]
pub struct Site {
    prefix: String,
    directory: PathBuf,
    sockets: PathBuf,
    binaries: PathBuf,
    pictures: Option<PathBuf>,
    data_path: DataPath,
}

impl Site {
    /// Makes the directory. `number` distinguishes the cases of one run.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made.
    pub fn new(root: &Path, number: usize, name: &str, binaries: &Path) -> Result<Self> {
        let directory = root.join(name.replace('/', "."));
        fs::create_dir_all(&directory).with_context(|| format!("{}", directory.display()))?;
        Ok(Self {
            prefix: format!("io{}-{number}", std::process::id()),
            directory,
            // Paths of sockets are limited to 108 octets.
            sockets: root.join(number.to_string()),
            binaries: binaries.to_owned(),
            pictures: None,
            data_path: DataPath::default(),
        })
    }

    /// The same, with a directory for the pictures of the documentation.
    #[must_use]
    pub fn with_pictures(self, pictures: Option<PathBuf>) -> Self {
        Self { pictures, ..self }
    }

    /// The same, with this data path at our ends of a tunnel.
    #[must_use]
    pub fn with_data_path(self, data_path: DataPath) -> Self {
        Self { data_path, ..self }
    }

    /// Who seals and opens ESP at our ends of a tunnel.
    pub fn data_path(&self) -> DataPath {
        self.data_path
    }

    /// Where pictures for the documentation go, if they are wanted.
    pub fn pictures(&self) -> Option<&Path> {
        self.pictures.as_deref()
    }

    /// What the names of its namespaces begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// For logs, settings, captures.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Path of the control socket of one end.
    pub fn socket(&self, role: Role) -> PathBuf {
        self.sockets.with_extension(role.label())
    }

    /// A short path for something else of this case.
    pub fn short(&self, name: &str) -> PathBuf {
        self.sockets.with_extension(name)
    }

    /// Where our daemons are.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// Removes everything.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<()> {
        for role in [Role::Branch, Role::Hub] {
            // A daemon that ended in good order has removed its socket.
            drop(fs::remove_file(self.socket(role)));
        }
        Ok(fs::remove_dir_all(&self.directory)?)
    }
}
