//! The options file that the process driver writes is one that the guest reads. The driver's own test compares what
//! it writes with the same file.

use creel_guest::{GuestOptions, Isolation};

#[test]
fn what_the_driver_writes_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata/driver_options.json");
    let options = GuestOptions::from_file(path.as_ref()).unwrap();
    assert_eq!(options.boot_generation, 4);
    assert_eq!(options.limits.cgroups, ["/sys/fs/cgroup/creel/ecd-1"].map(std::path::PathBuf::from));
    assert!(options.limits.memory_limited && options.limits.processes_limited);
    assert!(matches!(options.isolation, Isolation::User { uid: 7003, gid: 7003, landlock: true, .. }));
}
