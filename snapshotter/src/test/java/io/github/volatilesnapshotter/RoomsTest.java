package io.github.volatilesnapshotter;

import static com.tngtech.archunit.library.Architectures.layeredArchitecture;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** A room knows only rooms below it. Whatever is not allowed here is forbidden. */
@AnalyzeClasses(packages = "io.github.volatilesnapshotter", importOptions = ImportOption.DoNotIncludeTests.class)
class RoomsTest {
    @ArchTest
    static final ArchRule arrows_go_down_only = layeredArchitecture()
            .consideringOnlyDependenciesInAnyPackage("io.github.volatilesnapshotter..")
            .withOptionalLayers(true)
            .layer("cli")
            .definedBy("..volatilesnapshotter.cli..")
            .layer("grpc")
            .definedBy("..volatilesnapshotter.grpc..")
            .layer("containerd")
            .definedBy("..volatilesnapshotter.containerd..")
            .layer("kubernetes")
            .definedBy("..volatilesnapshotter.kubernetes..")
            .layer("snapshot")
            .definedBy("..volatilesnapshotter.snapshot..")
            .layer("superblock")
            .definedBy("..volatilesnapshotter.superblock..")
            .layer("metadata")
            .definedBy("..volatilesnapshotter.metadata..")
            .layer("linux")
            .definedBy("..volatilesnapshotter.linux..")
            .layer("crash")
            .definedBy("..volatilesnapshotter.crash..")
            .layer("metrics")
            .definedBy("..volatilesnapshotter.metrics..")
            .layer("config")
            .definedBy("..volatilesnapshotter.config..")
            .layer("proto")
            .definedBy("..volatilesnapshotter.proto..")
            .whereLayer("cli")
            .mayNotBeAccessedByAnyLayer()
            .whereLayer("grpc")
            .mayOnlyAccessLayers("snapshot", "metrics", "config", "proto")
            .whereLayer("containerd")
            .mayOnlyAccessLayers("snapshot", "metrics", "config", "proto")
            .whereLayer("kubernetes")
            .mayOnlyAccessLayers("snapshot", "metrics", "config")
            .whereLayer("snapshot")
            .mayOnlyAccessLayers("superblock", "metadata", "linux", "crash", "metrics")
            .whereLayer("superblock")
            .mayOnlyAccessLayers("linux", "crash", "metrics")
            .whereLayer("metadata")
            .mayOnlyAccessLayers("crash")
            .whereLayer("crash")
            .mayOnlyAccessLayers("linux")
            .whereLayer("linux")
            .mayNotAccessAnyLayer()
            .whereLayer("metrics")
            .mayNotAccessAnyLayer()
            .whereLayer("config")
            .mayNotAccessAnyLayer();
}
