//! A small disk of its own for a server, which can be filled. It needs root.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub struct Disk {
    folder: TempDir,
}

/// In MiB. The memory is used only while the disk is full.
const SIZE: usize = 64;

impl Disk {
    /// Makes the disk. The error says why it cannot be made.
    pub fn mount() -> Result<Self, String> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let size = format!("size={SIZE}m");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "inv-disk"]).arg(folder.path()).output();
        let done = done.map_err(|error| format!("mount: {error}"))?;
        if done.status.success() {
            Ok(Self { folder })
        } else {
            Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }

    /// Leaves no room for anything.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        let piece = vec![0; 1 << 20];
        while file.write_all(&piece).is_ok() {}
        while file.write_all(&piece[..512]).is_ok() {}
    }

    /// There is room again.
    pub fn free(&self) {
        let _ = std::fs::remove_file(self.filler());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}
