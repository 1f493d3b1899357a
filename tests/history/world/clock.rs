//! A clock for a server that can be set: libfaketime, which scripts/setup-faketime.sh fetches. The clock that never jumps, by
//! which a server measures, stays as it is.

use std::path::PathBuf;

use tempfile::TempDir;

pub struct Clocks {
    library: PathBuf,
    folder: TempDir,
}

impl Clocks {
    /// Clocks by the library that INV_FAKETIME names.
    pub fn find() -> Result<Self, String> {
        let library = std::env::var_os("INV_FAKETIME")
            .ok_or("INV_FAKETIME is not set: see scripts/setup-faketime.sh")?;
        Ok(Self { library: library.into(), folder: TempDir::new().map_err(|error| error.to_string())? })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The variables with which a program has this clock.
    pub fn environment(&self, name: &str) -> String {
        self.set(name, 0);
        format!(
            "env LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1",
            self.library.display(),
            self.file(name).display()
        )
    }

    /// Sets the clock this far from the real time, in ms.
    pub fn set(&self, name: &str, offset: i64) {
        let sign = if offset < 0 { '-' } else { '+' };
        let text = format!("{sign}{}.{:03}\n", offset.abs() / 1000, offset.abs() % 1000);
        // The program may read it at any time.
        let next = self.file("next");
        std::fs::write(&next, text).expect("a file");
        std::fs::rename(&next, self.file(name)).expect("a file");
    }
}
