//! Roots in use, replaced without a restart.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::tls::file_watch::{FilesChange, WatchedFiles};
use crate::tls::trust_roots::{TrustRoots, TrustRootsError};

/// The roots that chains are judged by from now on.
#[derive(Debug, Clone)]
pub struct LiveRoots(Arc<ArcSwap<RootsInUse>>);

/// Roots, and the files that they are read from.
#[derive(Debug)]
struct RootsInUse {
    roots: TrustRoots,
    /// Files of the roots; none: they are those of the system, or given.
    files: Vec<PathBuf>,
}

impl LiveRoots {
    /// Returns these roots, to begin with.
    pub fn new(roots: TrustRoots) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(RootsInUse { roots, files: Vec::new() })))
    }

    /// Returns the roots of these files, or those of the system if there are none.
    pub fn load(files: &[PathBuf]) -> Result<Self, TrustRootsError> {
        let roots = read(files)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(RootsInUse { roots, files: files.to_vec() }))))
    }

    /// Returns the roots in use.
    pub fn current(&self) -> TrustRoots {
        self.0.load().roots.clone()
    }

    /// Returns the files of the roots in use.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.load().files.clone()
    }

    /// Reads these files, which become those of the roots when the change is applied; `None`: their content is in use already.
    pub fn read_from(&self, files: Vec<PathBuf>) -> Result<Option<FilesChange>, TrustRootsError> {
        let used = self.0.load();
        // The roots of the system are read once, because that takes long.
        if files.is_empty() && used.files.is_empty() {
            return Ok(None);
        }
        let roots = read(&files)?;
        if files == used.files && roots.same(&used.roots) {
            return Ok(None);
        }
        let words = format!("{} roots", roots.anchors().len());
        let live = Arc::clone(&self.0);
        let apply = Box::new(move || live.store(Arc::new(RootsInUse { roots, files })));
        Ok(Some(FilesChange { words, apply }))
    }

    /// Returns the files, to be watched.
    pub fn watched(&self, subject: &'static str) -> WatchedFiles {
        let (live, of_paths) = (self.clone(), self.clone());
        let read = move || live.read_from(live.files()).map_err(|error| error.to_string());
        WatchedFiles { subject, paths: Arc::new(move || of_paths.files()), read: Arc::new(read) }
    }
}

fn read(files: &[PathBuf]) -> Result<TrustRoots, TrustRootsError> {
    match files.is_empty() {
        true => Ok(TrustRoots::of_system()),
        false => TrustRoots::from_files(files),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn authority() -> String {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("a CA").pem()
    }

    #[test]
    fn changed_roots_are_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        fs::write(&file, authority()).expect("written");
        let live = LiveRoots::load(std::slice::from_ref(&file)).expect("roots");
        let watched = live.watched("network.roots");
        assert_eq!((watched.subject, (watched.paths)()), ("network.roots", vec![file.clone()]));
        let before = live.current();
        let changed = || {
            (watched.read)().map(|change| {
                change.map(|change| {
                    (change.apply)();
                    change.words
                })
            })
        };
        assert_eq!(changed(), Ok(None), "nothing changed");
        assert!(live.current().is_clone_of(&before), "verdicts by these roots are kept");
        fs::write(&file, [authority(), authority()].concat()).expect("written");
        assert_eq!(changed(), Ok(Some("2 roots".to_owned())));
        assert_eq!((live.current().anchors().len(), live.current().same(&before)), (2, false));
        fs::write(&file, "nothing").expect("written");
        assert!(changed().is_err_and(|why| why.contains("ca.pem")));
        assert_eq!(live.current().anchors().len(), 2, "what was read before stays in use");
    }
}
