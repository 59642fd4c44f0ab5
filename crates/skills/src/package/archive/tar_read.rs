//! Tar archives.

use tar::{Archive, EntryType, Header};

use super::super::error::{self, PackageError, refuse, shown};
use super::budget::Budget;
use super::zip_read::{link, special};
use super::{ENTRIES_MAX, Entry, Limits, names, too_many};

const BLOCK: usize = 512;

/// Whether the first block is a header whose checksum is right.
pub(super) fn is_tar(bytes: &[u8]) -> bool {
    let Some(block) = bytes.first_chunk::<BLOCK>() else { return false };
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let sum = |range: std::ops::Range<usize>| -> u32 {
        block.get(range).unwrap_or_default().iter().copied().map(u32::from).sum()
    };
    let blanks = 8 * u32::from(b' ');
    block.iter().any(|byte| *byte != 0)
        && header.cksum().is_ok_and(|told| told == sum(0..148) + blanks + sum(156..BLOCK))
}

/// All files, in the archive's order.
pub(super) fn entries(bytes: &[u8], limits: &Limits) -> Result<Vec<Entry>, PackageError> {
    let mut budget = Budget::new(limits, None);
    let mut found = Vec::new();
    let mut archive = Archive::new(bytes);
    let mut end = 0;
    let entries = archive.entries().map_err(|cause| unread(&cause))?;
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|cause| unread(&cause))?;
        if count >= ENTRIES_MAX || found.len() > limits.files {
            return Err(too_many(limits.files));
        }
        let size = entry.size();
        end = entry.raw_file_position().saturating_add(size.next_multiple_of(BLOCK as u64));
        let raw = entry.path_bytes().into_owned();
        let path = names::decoded(&raw).ok_or_else(|| {
            let name = shown(&String::from_utf8_lossy(&raw));
            let message = format!("the name {name} is neither UTF-8 nor GBK: pack it again");
            refuse(error::BAD_ENCODING, message)
        })?;
        let path = names::relative(&path);
        check_extensions(&mut entry, &path)?;
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous if !path.ends_with('/') => {
                let bytes = budget.read(&path, &mut entry)?;
                // a header may tell more than there is
                if bytes.len() as u64 != size {
                    let message = format!("{} ends before its header says: pack it again", shown(&path));
                    return Err(refuse(error::READ_FAILED, message));
                }
                found.push(Entry { path, bytes });
            }
            EntryType::Directory | EntryType::Regular if size == 0 => {}
            EntryType::XGlobalHeader => {}
            EntryType::Link | EntryType::Symlink => return Err(link(&path)),
            EntryType::Directory | EntryType::Regular => {
                let message = format!("the folder {} has bytes of its own: pack it again", shown(&path));
                return Err(refuse(error::INCONSISTENT, message));
            }
            _ => return Err(special(&path)),
        }
    }
    let rest = usize::try_from(end).ok().and_then(|end| bytes.get(end..)).unwrap_or_default();
    if rest.iter().any(|byte| *byte != 0) {
        let message = "the archive goes on behind its end, where some readers find more files: pack it again";
        return Err(refuse(error::INCONSISTENT, message));
    }
    Ok(found)
}

/// What extended headers say that changes what is read: of all entries at once (`git archive` writes a comment there,
/// anything else some readers honour and some do not), or that an entry is a sparse file in disguise.
fn check_extensions(entry: &mut tar::Entry<'_, &[u8]>, path: &str) -> Result<(), PackageError> {
    let is_global = entry.header().entry_type().is_pax_global_extensions();
    let told = entry.pax_extensions().map_err(|cause| unread(&cause))?;
    for extension in told.into_iter().flatten() {
        let extension = extension.map_err(|cause| unread(&cause))?;
        if is_global && extension.key_bytes() != b"comment" {
            let message = "the archive has a global header that changes its entries: pack it again without";
            return Err(refuse(error::INCONSISTENT, message));
        }
        if extension.key_bytes().starts_with(b"GNU.sparse.") {
            return Err(special(path));
        }
    }
    Ok(())
}

fn unread(cause: &std::io::Error) -> PackageError {
    refuse(error::READ_FAILED, format!("the tar archive cannot be read: {cause}. Pack it again"))
}
