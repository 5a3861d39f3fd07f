//! Permissions of files that only their owner and its group may read.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Permissions of users who are neither the owner nor in its group.
const OTHERS: u32 = 0o007;

/// Returns the mode of a file if every user of the machine may use it. The mode is that of what a symbolic link leads to.
pub(crate) fn mode_for_others(file: &Path) -> Option<u32> {
    let mode = std::fs::metadata(file).ok()?.mode() & 0o7777;
    (mode & OTHERS != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn link_has_mode_of_its_target() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("secret"), folder.path().join("link"));
        std::fs::write(&file, "x").expect("written");
        symlink(&file, &link).expect("a link, whose own mode is 0777");
        for (mode, found) in
            [(0o600, None), (0o660, None), (0o604, Some(0o604)), (0o602, Some(0o602)), (0o601, Some(0o601))]
        {
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
            assert_eq!((mode_for_others(&file), mode_for_others(&link)), (found, found), "{mode:o}");
        }
        assert_eq!(mode_for_others(&folder.path().join("nothing")), None);
    }
}
