//! Archives inside a package.

use creel_wire::skill_content::Files;

use crate::package::{Limits, members as members_of};

/// The files of an archive, or why they cannot be read. They stay within `files_max` and `bytes_max`.
pub(super) fn members(bytes: &[u8], files_max: usize, bytes_max: u64) -> Result<Files, String> {
    let limits = Limits { files: files_max, bytes: bytes_max, file_bytes: bytes_max };
    members_of(bytes, &limits).map_err(|error| error.message)
}
