//! The data directory: who may read it, who holds it, and the files that the first start makes in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use creel_control::seal::SealKey;
use creel_control::secrets::Sealer;
use creel_wire::id::AccessKeyId;
use creel_wire::secret::Secret;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};

/// Readable and writable for the owner alone.
const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIR: u32 = 0o700;

/// A data directory that exists.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

/// Held while a server runs, so that no second one uses its files. The kernel lets go of them when the process ends,
/// however it ends; the lock files stay and mean nothing by themselves.
#[derive(Debug)]
pub struct Locks(#[expect(dead_code, reason = "held for their locks")] Vec<File>);

/// What `root-access-key.json` holds: only what was made here, never what the environment gave.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootCredentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<AccessKeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_secret: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_password: Option<Secret>,
}

impl DataDir {
    /// Makes the directory, for its owner alone, unless it is there. One that is there keeps its mode: the operator
    /// may have opened it for a reason.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn ensure(config: &Config) -> Result<Self, ConfigError> {
        let path = std::path::absolute(&config.data_dir)
            .map_err(|source| ConfigError::Write { path: config.data_dir.clone(), source })?;
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_DIR)
            .create(&path)
            .map_err(|source| ConfigError::Write { path: path.clone(), source })?;
        Ok(Self { path })
    }

    /// The absolute path of a file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the directory, and a SQLite database that may lie elsewhere, for one server.
    ///
    /// # Errors
    /// [`ConfigError::Locked`] if another server has one of them.
    pub fn lock(&self, config: &Config) -> Result<Locks, ConfigError> {
        let mut paths = vec![self.join("creel.lock")];
        if let Some(database) = config.sqlite_path() {
            // SQLite gives its journal files the mode of the database, so this keeps all of them private.
            open_private(OpenOptions::new().create(true).append(true), &database)?;
            let mut name = database.into_os_string();
            name.push(".lock");
            paths.push(name.into());
        }
        paths.iter().map(|path| lock_file(path)).collect::<Result<_, _>>().map(Locks)
    }

    /// The sealer by `CREEL_MASTER_KEY`, else by `master.key`, which is made if it is absent.
    ///
    /// # Errors
    /// If the key is malformed or its file cannot be read or made.
    pub fn ensure_sealer(&self, config: &Config) -> Result<Sealer, ConfigError> {
        if config.environment.master_key.is_none() && !self.master_key_path().exists() {
            self.write_private("master.key", Sealer::generate_base64().as_bytes())?;
        }
        self.sealer(config)
    }

    /// The sealer by `CREEL_MASTER_KEY`, else by `master.key`.
    ///
    /// # Errors
    /// [`ConfigError::NoMasterKey`] if there is neither.
    pub fn sealer(&self, config: &Config) -> Result<Sealer, ConfigError> {
        let path = self.master_key_path();
        let text = match &config.environment.master_key {
            Some(key) => key.clone(),
            None => match std::fs::read_to_string(&path) {
                Ok(text) => Secret::new(text),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(ConfigError::NoMasterKey { path });
                }
                Err(source) => return Err(ConfigError::Read { path, source }),
            },
        };
        Sealer::from_base64(text.expose()).map_err(|source| ConfigError::MasterKey { path, source })
    }

    /// The key by which the audit log is signed, in `audit.key`, which is made if it is absent.
    ///
    /// # Errors
    /// If the key is malformed or its file cannot be read or made.
    pub fn ensure_audit_key(&self) -> Result<SealKey, ConfigError> {
        if !self.join("audit.key").exists() {
            self.write_private("audit.key", SealKey::generate_base64().as_bytes())?;
        }
        self.audit_key()
    }

    /// The key in `audit.key`.
    ///
    /// # Errors
    /// [`ConfigError::NoAuditKey`] if it is absent.
    pub fn audit_key(&self) -> Result<SealKey, ConfigError> {
        let path = self.join("audit.key");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Secret::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ConfigError::NoAuditKey { path });
            }
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        SealKey::from_base64(text.expose()).map_err(|source| ConfigError::AuditKey { path, source })
    }

    /// What `root-access-key.json` holds; `None` if it is absent.
    ///
    /// # Errors
    /// If it cannot be read or is no longer what the first start wrote.
    pub fn root_credentials(&self) -> Result<Option<RootCredentials>, ConfigError> {
        let path = self.root_credentials_path();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| {
                ConfigError::value(
                    path.display().to_string(),
                    "this is not the file that the first start wrote",
                )
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// Writes `root-access-key.json`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_root_credentials(&self, credentials: &RootCredentials) -> Result<(), ConfigError> {
        let mut text = serde_json::to_vec_pretty(credentials).map_err(|error| ConfigError::Write {
            path: self.root_credentials_path(),
            source: std::io::Error::other(error),
        })?;
        text.push(b'\n');
        self.write_private("root-access-key.json", &text)
    }

    /// Where `root-access-key.json` is.
    pub fn root_credentials_path(&self) -> PathBuf {
        self.join("root-access-key.json")
    }

    fn master_key_path(&self) -> PathBuf {
        self.join("master.key")
    }

    /// Writes a file for the owner alone, whole or not at all, and on the disk when it returns.
    fn write_private(&self, name: &str, content: &[u8]) -> Result<(), ConfigError> {
        let (path, new) = (self.join(name), self.join(&format!("{name}.new")));
        let mut file = open_private(OpenOptions::new().write(true).create(true).truncate(true), &new)?;
        let written = file
            .write_all(content)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&new, &path))
            .and_then(|()| File::open(&self.path)?.sync_all());
        written.map_err(|source| ConfigError::Write { path, source })
    }
}

fn open_private(options: &mut OpenOptions, path: &Path) -> Result<File, ConfigError> {
    options
        .mode(PRIVATE_FILE)
        .open(path)
        .map_err(|source| ConfigError::Write { path: path.to_path_buf(), source })
}

fn lock_file(path: &Path) -> Result<File, ConfigError> {
    let file = open_private(OpenOptions::new().create(true).append(true), path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(ConfigError::Locked { path: path.to_path_buf() }),
        Err(std::fs::TryLockError::Error(source)) => {
            Err(ConfigError::Write { path: path.to_path_buf(), source })
        }
    }
}
