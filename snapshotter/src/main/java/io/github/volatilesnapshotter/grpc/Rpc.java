package io.github.volatilesnapshotter.grpc;

/** The methods of containerd's Snapshots service and of this project's own, and the lane each runs on. Usage first looks into the records, on their lane. */
enum Rpc {
    PREPARE("Prepare", Lane.CHANGE),
    VIEW("View", Lane.CHANGE),
    MOUNTS("Mounts", Lane.READ),
    REMOVE("Remove", Lane.CHANGE),
    UPDATE("Update", Lane.CHANGE),
    COMMIT("Commit", Lane.COMMIT),
    STAT("Stat", Lane.READ),
    LIST("List", Lane.READ),
    USAGE("Usage", Lane.DISK),
    CLEANUP("Cleanup", Lane.DISK),
    BACKUP("Backup", Lane.DISK);

    /** The method's name on the wire. */
    final String method;

    final Lane lane;

    Rpc(String method, Lane lane) {
        this.method = method;
        this.lane = lane;
    }
}
