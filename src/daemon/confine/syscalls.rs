//! The system calls that a daemon of this kind makes, and the C library for it (seccomp(2)); all others fail.
//!
//! The list is that of systemd's `@system-service`, less what this daemon has no use for: the units have it, too, and a start by hand is
//! as narrow. A call that is not on it does not exist, so that a newer C library takes the older way.

/// Keeps this thread, and those that it starts, from these calls.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
pub(super) fn restrict() -> Result<(), String> {
    Err("not known on this processor".to_owned())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
pub(super) use known::restrict;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
mod known {
    use std::collections::BTreeMap;

    use nix::libc;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        apply_filter, sock_filter,
    };

    /// Files, memory, sockets, threads, time, and limiting itself.
    const ALLOWED: &[libc::c_long] = &[
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_preadv,
        libc::SYS_pwritev,
        libc::SYS_openat,
        libc::SYS_close,
        libc::SYS_lseek,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_statfs,
        libc::SYS_fstatfs,
        libc::SYS_faccessat,
        libc::SYS_readlinkat,
        libc::SYS_getdents64,
        libc::SYS_getcwd,
        libc::SYS_chdir,
        libc::SYS_mkdirat,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_ftruncate,
        libc::SYS_fallocate,
        libc::SYS_fsync,
        libc::SYS_fdatasync,
        libc::SYS_flock,
        libc::SYS_fcntl,
        libc::SYS_ioctl,
        libc::SYS_dup,
        libc::SYS_dup3,
        libc::SYS_pipe2,
        libc::SYS_eventfd2,
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_ppoll,
        libc::SYS_pselect6,
        libc::SYS_signalfd4,
        libc::SYS_timerfd_create,
        libc::SYS_timerfd_settime,
        libc::SYS_timerfd_gettime,
        libc::SYS_inotify_init1,
        libc::SYS_inotify_add_watch,
        libc::SYS_inotify_rm_watch,
        libc::SYS_name_to_handle_at,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_connect,
        libc::SYS_getsockname,
        libc::SYS_getpeername,
        libc::SYS_sendto,
        libc::SYS_recvfrom,
        libc::SYS_sendmsg,
        libc::SYS_recvmsg,
        libc::SYS_sendmmsg,
        libc::SYS_recvmmsg,
        libc::SYS_shutdown,
        libc::SYS_setsockopt,
        libc::SYS_getsockopt,
        libc::SYS_sendfile,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_mlock,
        libc::SYS_munlock,
        libc::SYS_membarrier,
        libc::SYS_memfd_create,
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_get_robust_list,
        libc::SYS_rseq,
        libc::SYS_set_tid_address,
        libc::SYS_clone,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_wait4,
        libc::SYS_waitid,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_tgkill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigsuspend,
        libc::SYS_rt_sigpending,
        libc::SYS_rt_sigtimedwait,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_nanosleep,
        libc::SYS_clock_nanosleep,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_gettimeofday,
        libc::SYS_times,
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_gettid,
        libc::SYS_getuid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getegid,
        libc::SYS_getresuid,
        libc::SYS_getresgid,
        libc::SYS_getgroups,
        libc::SYS_getpgid,
        libc::SYS_getsid,
        libc::SYS_umask,
        libc::SYS_prctl,
        libc::SYS_capget,
        libc::SYS_uname,
        libc::SYS_sysinfo,
        libc::SYS_getrusage,
        libc::SYS_getcpu,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_getparam,
        libc::SYS_sched_getscheduler,
        libc::SYS_sched_get_priority_max,
        libc::SYS_sched_get_priority_min,
        libc::SYS_prlimit64,
        libc::SYS_getrandom,
        libc::SYS_getxattr,
        libc::SYS_lgetxattr,
        libc::SYS_fgetxattr,
        libc::SYS_seccomp,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_landlock_add_rule,
        libc::SYS_landlock_restrict_self,
    ];

    /// Older names for some of them, which the C library still uses on this processor.
    #[cfg(target_arch = "x86_64")]
    const ALLOWED_HERE: &[libc::c_long] = &[
        libc::SYS_open,
        libc::SYS_stat,
        libc::SYS_lstat,
        libc::SYS_access,
        libc::SYS_readlink,
        libc::SYS_unlink,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_mkdir,
        libc::SYS_rmdir,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_poll,
        libc::SYS_select,
        libc::SYS_epoll_wait,
        libc::SYS_epoll_create,
        libc::SYS_eventfd,
        libc::SYS_pipe,
        libc::SYS_dup2,
        libc::SYS_getrlimit,
        libc::SYS_time,
        libc::SYS_getpgrp,
        libc::SYS_arch_prctl,
    ];
    #[cfg(target_arch = "aarch64")]
    const ALLOWED_HERE: &[libc::c_long] = &[libc::SYS_renameat];
    #[cfg(target_arch = "riscv64")]
    const ALLOWED_HERE: &[libc::c_long] = &[];

    /// Calls of x32 bear this bit, and would pass for others (seccomp(2), "Architecture").
    #[cfg(target_arch = "x86_64")]
    const X32: u32 = 0x4000_0000;

    /// Running programs; another view of files, processes or networks; other processes; the kernel and its clock; ways around this list.
    const REFUSED: &[libc::c_long] = &[
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_mknodat,
        libc::SYS_open_by_handle_at,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_syslog,
        libc::SYS_personality,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
    ];

    /// Namespaces can be made along with a process, too.
    const NAMESPACES: [libc::c_int; 7] = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];

    /// What a C library takes for an old kernel, and does otherwise.
    const OLD_KERNEL: [libc::c_long; 1] = [libc::SYS_clone3];

    type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

    pub(in crate::daemon::confine) fn restrict() -> Result<(), String> {
        let all = |calls: &[libc::c_long]| calls.iter().map(|call| (*call, Vec::new())).collect::<Rules>();
        let mut allowed = all(ALLOWED);
        allowed.extend(all(ALLOWED_HERE));
        // Of what several filters refuse, the last one says how: those come first that say it in general.
        apply_rules(
            allowed,
            SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
            SeccompAction::Allow,
        )?;
        #[cfg(target_arch = "x86_64")]
        refuse_x32()?;
        let mut refused = all(REFUSED);
        refused.insert(libc::SYS_clone, with_namespaces().map_err(|error| error.to_string())?);
        apply(refused, libc::EPERM)?;
        // What clone3 is asked for lies where no filter sees it.
        apply(all(&OLD_KERNEL), libc::ENOSYS)
    }

    fn with_namespaces() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        let rule = |flag: libc::c_int| {
            let flag = u64::from(flag.unsigned_abs());
            let asked = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
            SeccompRule::new(vec![asked])
        };
        NAMESPACES.into_iter().map(rule).collect()
    }

    fn apply(rules: Rules, errno: libc::c_int) -> Result<(), String> {
        let refuse = SeccompAction::Errno(errno.unsigned_abs());
        apply_rules(rules, SeccompAction::Allow, refuse)
    }

    fn apply_rules(rules: Rules, others: SeccompAction, these: SeccompAction) -> Result<(), String> {
        let arch = std::env::consts::ARCH.try_into();
        let filter = arch.and_then(|arch| SeccompFilter::new(rules, others, these, arch));
        let program: Result<BpfProgram, _> = filter.and_then(TryInto::try_into);
        let program = program.map_err(|error| error.to_string())?;
        apply_filter(&program).map_err(|error| error.to_string())
    }

    /// Refuses all calls whose number has the bit of x32, with another error than a kernel without x32 has; another processor's calls end the process (seccompiler checks that).
    #[cfg(target_arch = "x86_64")]
    fn refuse_x32() -> Result<(), String> {
        let step = |code: u32, jt: u8, jf: u8, k: u32| sock_filter {
            code: u16::try_from(code).expect("the codes of BPF have 16 bits"),
            jt,
            jf,
            k,
        };
        let program = [
            // The number of the call is the first word of what a filter sees.
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32),
            step(
                libc::BPF_RET | libc::BPF_K,
                0,
                0,
                libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs(),
            ),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        apply_filter(&program).map_err(|error| error.to_string())
    }
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
mod tests {
    use std::net::{ToSocketAddrs as _, UdpSocket};
    use std::process::Command;
    use std::{fs, thread};

    use rustix::io::Errno;

    use super::restrict;

    #[test]
    fn calls_that_no_daemon_makes_fail() {
        // A filter is for the thread that asks for it, and those that it starts.
        let confined = thread::spawn(|| {
            restrict().expect("this kernel filters system calls");
            let started = Command::new("/bin/true").status();
            assert_eq!(
                started.err().and_then(|error| error.raw_os_error()),
                Some(Errno::PERM.raw_os_error())
            );
            assert_eq!(rustix::process::getpriority_process(None).err(), Some(Errno::NOSYS));

            let path = std::env::temp_dir().join(format!("wirelink-confined-{}", std::process::id()));
            fs::write(&path, "text").expect("files are written");
            fs::rename(&path, path.with_extension("new")).expect("files are renamed");
            fs::remove_file(path.with_extension("new")).expect("files are removed");
            UdpSocket::bind("127.0.0.1:0").expect("sockets are made");
            assert!(("localhost", 80).to_socket_addrs().is_ok(), "names are looked up");
            thread::spawn(|| ()).join().expect("threads are started");
        });
        confined.join().expect("all of it holds");
    }
}
