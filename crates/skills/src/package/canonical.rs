//! The form in which a skill's files are kept and sent: a plain tar that depends on nothing but paths and bytes.

use creel_wire::skill_content::{Files, is_executable, is_safe_path};
use tar::{EntryType, Header};

use super::archive::{self, Kind, Limits};
use super::error::{self, PackageError, refuse};

const BLOCK: usize = 512;
/// Bytes of the name field; a longer path has an entry of its own before it, as GNU tar writes it.
const NAME_BYTES: usize = 100;

/// Files as a tar: sorted by path, no times, no owners, mode 755 for those that name their interpreter and 644 for
/// the others. The same files give the same bytes.
pub fn pack(files: &Files) -> Vec<u8> {
    let total: usize = files.values().map(|bytes| bytes.len().next_multiple_of(BLOCK) + 2 * BLOCK).sum();
    let mut out = Vec::with_capacity(total + 2 * BLOCK);
    for (path, bytes) in files {
        if path.len() > NAME_BYTES {
            let mut name = path.clone().into_bytes();
            name.push(0);
            append(&mut out, EntryType::GNULongName, b"././@LongLink", 0o644, &name);
        }
        let mode = if is_executable(bytes) { 0o755 } else { 0o644 };
        append(&mut out, EntryType::Regular, path.as_bytes(), mode, bytes);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

fn append(out: &mut Vec<u8>, kind: EntryType, path: &[u8], mode: u32, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.name.iter_mut().zip(path).for_each(|(field, byte)| *field = *byte);
    }
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// What [`pack`] packed, within a skill's limits.
///
/// # Errors
/// Anything else, and paths that leave the skill's folder.
pub fn unpack(bytes: &[u8]) -> Result<Files, PackageError> {
    if Kind::of(bytes) != Some(Kind::Tar) {
        return Err(refuse(error::READ_FAILED, "the skill's content is not the tar that the server keeps"));
    }
    archive::collect(archive::entries(Kind::Tar, bytes, &Limits::SKILL)?, &Limits::SKILL, is_safe_path)
}
