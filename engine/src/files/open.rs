//! What may be opened: regular files below the root, and nothing else.

use crate::sys;
use std::fs::{self, OpenOptions};
use std::future::{Ready, ready};
use std::io::{self, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tokio::task::spawn_blocking;
use tower_http::services::fs::{Backend, File, Metadata};

/// The files below a directory, as tower-http's `ServeDir` asks for them.
#[derive(Clone)]
pub(super) struct Beneath {
    root: PathBuf,
}

impl Beneath {
    pub(super) fn new(root: &Path) -> Self {
        Beneath { root: root.to_owned() }
    }
}

type Soon<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl Backend for Beneath {
    type File = Opened;
    type Metadata = Seen;
    type OpenFuture = Soon<Opened>;
    type MetadataFuture = Soon<Seen>;

    fn open(&self, path: PathBuf) -> Soon<Opened> {
        let root = self.root.clone();
        Box::pin(async move {
            let (file, seen) = spawn_blocking(move || look(&root, &path)).await??;
            match seen.is_dir() {
                true => Err(io::ErrorKind::NotFound.into()),
                false => Ok(Opened { file: tokio::fs::File::from_std(file), seen }),
            }
        })
    }

    fn metadata(&self, path: PathBuf) -> Soon<Seen> {
        let root = self.root.clone();
        Box::pin(async move { Ok(spawn_blocking(move || look(&root, &path)).await??.1) })
    }
}

/// A file that is being served.
pub(super) struct Opened {
    file: tokio::fs::File,
    seen: Seen,
}

impl File for Opened {
    type Metadata = Seen;
    type MetadataFuture<'a> = Ready<io::Result<Seen>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.seen.clone()))
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_read(cx, buffer)
    }
}

impl AsyncSeek for Opened {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.file).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.file).poll_complete(cx)
    }
}

/// What a file or a directory is.
#[derive(Clone)]
pub(super) struct Seen(fs::Metadata);

impl Metadata for Seen {
    fn is_dir(&self) -> bool {
        self.0.is_dir()
    }

    /// A time yet to come must not be told (RFC 9110, section 8.8.2.1), and no tag is made of it.
    fn modified(&self) -> io::Result<SystemTime> {
        let modified = self.0.modified()?;
        if modified > SystemTime::now() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(modified) }
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

/// Opens a file for reading, or finds a directory. What a path names is looked at before it is opened: the
/// writer of a FIFO and some devices notice already that. Should it become one in between, opening it does
/// not wait.
fn look(root: &Path, path: &Path) -> io::Result<(fs::File, Seen)> {
    let place = open_beneath(root, path, libc::O_PATH)?;
    let found = place.metadata()?;
    if found.is_dir() {
        return Ok((place, Seen(found)));
    }
    if found.is_file() {
        let file = open_beneath(root, path, libc::O_NONBLOCK | libc::O_NOCTTY)?;
        let found = file.metadata()?;
        if found.is_file() {
            return Ok((sys::move_above_select(file), Seen(found)));
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Opens what `path` names below `root`, but follows no symlink that leads out of it. The root itself may be
/// one.
fn open_beneath(root: &Path, path: &Path, flags: i32) -> io::Result<fs::File> {
    let directory = options(libc::O_PATH | libc::O_DIRECTORY).open(root)?;
    for _ in 0..RACES {
        match sys::open_beneath(&directory, path, flags) {
            // Directories were moved about meanwhile: the kernel does not know whether it is still below.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            // Before Linux 5.6, or in a sandbox that does not know this call.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                return open_resolved(root, path, flags);
            }
            result => return result,
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// How often a path is looked up that is being moved.
const RACES: usize = 8;

/// The same without the kernel's help. Who can write below the root could still put a symlink in the place of
/// a directory between the two steps; that takes an account on this machine, not a request.
fn open_resolved(root: &Path, path: &Path, flags: i32) -> io::Result<fs::File> {
    let (root, real) = (fs::canonicalize(root)?, fs::canonicalize(root.join(path))?);
    if !real.starts_with(root) {
        return Err(io::ErrorKind::CrossesDevices.into());
    }
    options(flags | libc::O_NOFOLLOW).open(real)
}

fn options(flags: i32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    type Way = fn(&Path, &Path, i32) -> io::Result<fs::File>;

    fn read(way: Way, root: &Path, path: &str) -> io::Result<String> {
        let mut text = String::new();
        way(root, Path::new(path), 0)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn both_ways_stay_below_the_root() {
        let base = std::env::temp_dir().join(format!("wsengine-open-{}", std::process::id()));
        let root = base.join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir_all(base.join("root-not")).unwrap();
        fs::write(base.join("secret"), "secret").unwrap();
        fs::write(base.join("root-not/secret"), "secret").unwrap();
        fs::write(root.join("sub/page"), "page").unwrap();
        let links = [
            ("inside", "sub/page"),
            ("sub/back", "../sub"),
            ("outside", "../secret"),
            ("beside", "../root-not/secret"),
            ("up", ".."),
            ("absolute", base.join("secret").to_str().unwrap()),
        ]
        .map(|(name, to)| symlink(to, root.join(name)));
        assert!(links.iter().all(Result::is_ok));
        symlink("root", base.join("link")).unwrap();
        for (name, way) in [("kernel", open_beneath as Way), ("resolved", open_resolved)] {
            for root in [&root, &base.join("link")] {
                for path in ["sub/page", "./sub/page", "inside", "sub/back/page", "sub/../sub/page"] {
                    assert_eq!(read(way, root, path).unwrap(), "page", "{path}, {name}");
                }
                for path in ["../secret", "sub/../../secret", "outside", "beside", "up/secret", "absolute"] {
                    let error = read(way, root, path).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::CrossesDevices, "{path}, {name}");
                }
                assert_eq!(read(way, root, "nothing").unwrap_err().kind(), io::ErrorKind::NotFound);
                assert_eq!(read(way, root, "sub/page/x").unwrap_err().kind(), io::ErrorKind::NotADirectory);
                assert_eq!(read(way, root, "a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
            }
        }
        fs::remove_dir_all(base).unwrap();
    }
}
