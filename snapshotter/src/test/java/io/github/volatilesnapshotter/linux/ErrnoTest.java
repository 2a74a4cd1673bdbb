package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Modifier;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ErrnoTest {
    @ParameterizedTest
    @CsvSource({
        "1,EPERM",
        "5,EIO",
        "28,ENOSPC",
        "40,ELOOP",
        "42,ENOMSG",
        "57,EBADSLT",
        "59,EBFONT",
        "61,ENODATA",
        "95,EOPNOTSUPP",
        "99,EADDRNOTAVAIL",
        "117,EUCLEAN",
        "133,EHWPOISON"
    })
    void a_number_has_the_name_of_errno_h(int number, String name) {
        assertThat(new Errno(number).name()).isEqualTo(name);
    }

    @ParameterizedTest
    @CsvSource({"0", "41", "58", "134", "4000"})
    void a_number_without_a_name_is_shown_as_it_is(int number) {
        assertThat(new Errno(number).name()).isEqualTo("errno " + number);
    }

    @Test
    void every_constant_is_called_as_its_number_is() throws IllegalAccessException {
        for (var field : Arrays.stream(Errno.class.getFields())
                .filter(each -> Modifier.isStatic(each.getModifiers()))
                .toList()) {
            assertThat(((Errno) field.get(null)).name()).isEqualTo(field.getName());
        }
    }

    @Test
    void an_exception_reads_as_the_call_and_what_the_kernel_said() {
        var failure = new SyscallException(
                "fsconfig", "FSCONFIG_SET_FLAG, \"nonsense\"", Errno.EINVAL, "overlay: Unknown parameter 'nonsense'");

        assertThat(failure)
                .hasMessage("fsconfig(FSCONFIG_SET_FLAG, \"nonsense\"): EINVAL (22): "
                        + "overlay: Unknown parameter 'nonsense'");
    }
}
