package io.github.volatilesnapshotter;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noMethods;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import org.junit.jupiter.api.Disabled;

/** A test that can't run fails and says what it needs: one that is skipped looks like one that has passed. */
@AnalyzeClasses(packages = "io.github.volatilesnapshotter", importOptions = ImportOption.OnlyIncludeTests.class)
class NothingIsSkippedTest {
    @ArchTest
    static final ArchRule by_an_assumption =
            noClasses().should().dependOnClassesThat().haveFullyQualifiedName("org.junit.jupiter.api.Assumptions");

    @ArchTest
    static final ArchRule by_an_annotation_of_a_class = noClasses().should().beAnnotatedWith(Disabled.class);

    @ArchTest
    static final ArchRule by_an_annotation_of_a_method = noMethods().should().beAnnotatedWith(Disabled.class);
}
