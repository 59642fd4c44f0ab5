//! Zip archives.

use std::io::Cursor;

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::super::error::{self, PackageError, refuse, shown};
use super::budget::Budget;
use super::{ENTRIES_MAX, Entry, Limits, names, too_many};

/// That the name is UTF-8.
const UTF_8_FLAG: u16 = 0x0800;
const FILE_TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// All files, in the directory's order.
pub(super) fn entries(bytes: &[u8], limits: &Limits) -> Result<Vec<Entry>, PackageError> {
    // before the library makes a record of each
    if memchr::memmem::find_iter(bytes, b"PK\x01\x02").nth(ENTRIES_MAX).is_some() {
        return Err(too_many(limits.files));
    }
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|cause| unread("the archive", cause))?;
    if archive.has_duplicate_names() {
        let message = "two entries of the archive have the same name: pack it again";
        return Err(refuse(error::DUPLICATE_PATH, message));
    }
    let mut budget = Budget::new(limits, Some(bytes.len()));
    let mut found = Vec::new();
    for index in 0..archive.len() {
        if let Some(path) = check(&archive, index)? {
            found.push((index, path));
        }
        if found.len() > limits.files {
            return Err(too_many(limits.files));
        }
    }
    // other readers must not see other files than this one
    archive.validate_header_consistency().map_err(|cause| {
        refuse(
            error::INCONSISTENT,
            format!(
                "parts of the archive contradict each other ({cause}): pack it again with another program"
            ),
        )
    })?;
    let mut entries = Vec::with_capacity(found.len());
    for (index, path) in found {
        let file = archive.by_index(index).map_err(|cause| unread(&path, cause))?;
        let bytes = budget.read(&path, file)?;
        entries.push(Entry { path, bytes });
    }
    Ok(entries)
}

/// The path of an entry that is a file and may be read; `None` for a folder.
fn check(archive: &ZipArchive<Cursor<&[u8]>>, index: usize) -> Result<Option<String>, PackageError> {
    let entry = archive.by_index_data(index).map_err(|cause| unread("the archive", cause))?;
    let raw = entry.name_raw();
    let path = if entry.flags().as_u16() & UTF_8_FLAG == 0 {
        // what zip is without any hint: code page 437
        let western = || entry.name().ok().map(|name| names::composed(&name));
        names::decoded(raw).or_else(western)
    } else {
        std::str::from_utf8(raw).ok().map(names::composed)
    };
    let path = path.ok_or_else(|| {
        let name = shown(&String::from_utf8_lossy(raw));
        let message = format!("the name {name} is not in the encoding that the archive says: pack it again");
        refuse(error::BAD_ENCODING, message)
    })?;
    if entry.encrypted() {
        let message = format!("{} is encrypted: pack it again without a password", shown(&path));
        return Err(refuse(error::ENCRYPTED, message));
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        let (here, method) = (shown(&path), entry.compression());
        let message = format!("{here} is compressed by {method}, which is not read: pack it with Deflate");
        return Err(refuse(error::UNSUPPORTED, message));
    }
    let is_folder = path.ends_with('/');
    match entry.unix_mode().unwrap_or_default() & FILE_TYPE {
        LINK => return Err(link(&path)),
        0 => {}
        REGULAR if !is_folder => {}
        FOLDER if is_folder => {}
        REGULAR | FOLDER if entry.size() == 0 => {}
        REGULAR | FOLDER => {
            let message = format!("{} is both a file and a folder: pack it again", shown(&path));
            return Err(refuse(error::INCONSISTENT, message));
        }
        _ => return Err(special(&path)),
    }
    if is_folder && entry.size() > 0 {
        let message = format!("the folder {} has bytes of its own: pack it again", shown(&path));
        return Err(refuse(error::INCONSISTENT, message));
    }
    Ok((!is_folder).then(|| names::relative(&path)))
}

pub(super) fn link(path: &str) -> PackageError {
    refuse(error::LINK_REFUSED, format!("{} is a link: put the file itself in its place", shown(path)))
}

pub(super) fn special(path: &str) -> PackageError {
    let message =
        format!("{} is neither a file nor a folder (device, pipe, sparse file): leave it out", shown(path));
    refuse(error::SPECIAL_FILE, message)
}

fn unread(what: &str, cause: ZipError) -> PackageError {
    refuse(error::READ_FAILED, format!("{} cannot be read: {cause}. Pack it again", shown(what)))
}
