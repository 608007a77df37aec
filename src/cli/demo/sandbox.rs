//! A place of its own: namespaces that belong to this process alone, so that the kernel takes everything away when it
//! ends, however it ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

const TUN: &str = "/dev/net/tun";

/// Moves the process into namespaces of its own: users where it needs that, mounts, and a network that stands for the
/// Internet. The process must not have a second thread yet.
///
/// # Errors
/// When the machine refuses; the text says what and how to get it.
pub(super) fn enter() -> anyhow::Result<()> {
    check_tun()?;
    if !Path::new("/proc/sys/net/ipv6").exists() {
        bail!("this kernel has no IPv6, which wirelink speaks in the tunnel: boot it without `ipv6.disable=1`");
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    match unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
        Ok(()) => {}
        Err(Errno::EPERM) => become_root(uid, gid)?,
        Err(errno) => bail!("the kernel gives no network and mount namespaces ({errno}): it needs CONFIG_NET_NS"),
    }
    hide_sockets()
}

/// Gives the calling thread a network of its own; every thread that it starts from now on shares that network.
pub(super) fn own_network() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("a network namespace for one more machine was refused")
}

/// Without root, a user namespace makes this process root over the namespaces that come with it, and over nothing else.
fn become_root(uid: u32, gid: u32) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER).map_err(no_user_namespace)?;
    let hint = "user namespaces have no rights here: run as root, or allow them with \
                `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`";
    // Needed before an unprivileged process may write its group map (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny").context(hint)?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).context(hint)?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).context(hint)?;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context(hint)
}

fn no_user_namespace(errno: Errno) -> anyhow::Error {
    match errno {
        Errno::ENOSPC | Errno::EUSERS => {
            anyhow!(
                "user namespaces are used up: run as root, or allow them with `sysctl -w user.max_user_namespaces=1000`"
            )
        }
        Errno::EPERM => anyhow!(
            "namespaces are refused: run as root, or allow them with `sysctl -w kernel.unprivileged_userns_clone=1`; \
             in a container, start it with `--privileged`"
        ),
        errno => anyhow!("the kernel gives no user namespaces ({errno}): run as root"),
    }
}

fn check_tun() -> anyhow::Result<()> {
    let error = match fs::OpenOptions::new().read(true).write(true).open(TUN) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "load it with `modprobe tun`; in a container, start it with `--device /dev/net/tun`",
        io::ErrorKind::PermissionDenied if geteuid().is_root() => "start the container with `--device /dev/net/tun`",
        io::ErrorKind::PermissionDenied => "run as root, or allow it with `chmod 0666 /dev/net/tun` as root",
        _ => "load it with `modprobe tun` as root",
    };
    Err(anyhow!("{TUN} cannot be opened ({error}): {remedy}"))
}

/// Covers the folder of the UAPI sockets with an empty one that vanishes with the process.
fn hide_sockets() -> anyhow::Result<()> {
    const NONE: Option<&str> = None;
    let hint = "a private mount was refused: run as root; in a container, start it with `--privileged`";
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).context(hint)?;
    let mut folders: Vec<PathBuf> = ["/run", "/var/run"]
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    folders.dedup();
    if folders.is_empty() {
        bail!("there is neither /run nor /var/run for the sockets of WireGuard: make one of them");
    }
    for folder in folders {
        mount(
            Some("tmpfs"),
            &folder,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("mode=0755"),
        )
        .context(hint)?;
    }
    Ok(())
}

/// Lets the calling thread's network pass packets on, as a hub must.
pub(super) fn forward_packets() -> anyhow::Result<()> {
    write_sysctl("ipv4/ip_forward", "1")?;
    // The hub sends packets back out of the interface they came from; it need not tell leaves of a better way.
    write_sysctl("ipv4/conf/all/send_redirects", "0")?;
    write_sysctl("ipv4/conf/default/send_redirects", "0")
}

fn write_sysctl(key: &str, value: &str) -> anyhow::Result<()> {
    let path = Path::new("/proc/sys/net").join(key);
    let error = match fs::write(&path, value) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => error,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be written", path.display())),
    };
    // Containers mount it read-only; the mount of this process is its own, so it may change that for itself.
    const NONE: Option<&str> = None;
    let writable = mount(NONE, "/proc/sys", NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, NONE);
    if writable.is_ok() && fs::write(&path, value).is_ok() {
        return Ok(());
    }
    Err(anyhow!(
        "{} cannot be written ({error}): run as root; in a container, start it with `--privileged`",
        path.display()
    ))
}
