//! System calls that no daemon of this kind makes (seccomp(2)): they fail, where somebody makes it try.
//!
//! A list of what is allowed would be shorter for an attacker, but the C library changes what it calls: a daemon must not break on that.

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
        apply_filter,
    };

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
        let arch = std::env::consts::ARCH.try_into();
        let filter = arch.and_then(|arch| SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch));
        let program: Result<BpfProgram, _> = filter.and_then(TryInto::try_into);
        let program = program.map_err(|error| error.to_string())?;
        apply_filter(&program).map_err(|error| error.to_string())
    }
}
