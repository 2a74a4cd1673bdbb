package node

import (
	"path/filepath"
	"testing"
	"text/template"

	"github.com/volatile-snapshotter/volatile-snapshotter/e2e/internal/tools"
)

// Release is one release of containerd.
type Release struct {
	// Name is its version as far as it matters.
	Name string
	// directory holds its programs.
	directory string
	// configuration of containerd.
	configuration *template.Template
	// TransferService says whether an import unpacks in containerd, and not in ctr.
	TransferService bool
	// Unpacks is how many layers of an image the transfer service unpacks at once.
	Unpacks int
}

type configurationValues struct {
	Directory, Snapshotter, SnapshotterRoot string
	Unpacks                                 int
}

// Debian's 1.6 knows neither exports nor capabilities of a proxy plugin.
var configuration16 = template.Must(template.New("1.6").Parse(`version = 2
root = "{{.Directory}}/root"
state = "{{.Directory}}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[debug]
  level = "warn"
[grpc]
  address = "{{.Directory}}/containerd.sock"
[ttrpc]
  address = "{{.Directory}}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{{.Directory}}/opt"
[proxy_plugins.volatile]
  type = "snapshot"
  address = "{{.Snapshotter}}"
`))

// The transfer service unpacks the layers of an image side by side when more than one unpack is allowed and the snapshotter
// can rebase.
var configuration23 = template.Must(template.New("2.3").Parse(`version = 3
root = "{{.Directory}}/root"
state = "{{.Directory}}/state"
disabled_plugins = [
  "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri",
]
[debug]
  level = "warn"
[grpc]
  address = "{{.Directory}}/containerd.sock"
[ttrpc]
  address = "{{.Directory}}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{{.Directory}}/opt"
[plugins."io.containerd.transfer.v1.local"]
  max_concurrent_unpacks = {{.Unpacks}}
  [[plugins."io.containerd.transfer.v1.local".unpack_config]]
    platform = "linux"
    snapshotter = "volatile"
    differ = "walking"
  [[plugins."io.containerd.transfer.v1.local".unpack_config]]
    platform = "linux"
    snapshotter = "overlayfs"
    differ = "walking"
[proxy_plugins.volatile]
  type = "snapshot"
  address = "{{.Snapshotter}}"
  capabilities = ["rebase"]
  [proxy_plugins.volatile.exports]
    root = "{{.SnapshotterRoot}}"
`))

// Releases are those that the tests run with: Debian's and the one of this module.
func Releases(t testing.TB) []Release {
	t.Helper()
	const debian = "/usr/bin"
	for _, program := range []string{"containerd", "ctr", "containerd-shim-runc-v2"} {
		tools.Require(t, filepath.Join(debian, program))
	}
	return []Release{
		{Name: "1.6", directory: debian, configuration: configuration16},
		Newest(t),
	}
}

// Newest is the release of this module.
func Newest(t testing.TB) Release {
	t.Helper()
	tools.Require(t, "runc")
	return Release{Name: "2.3", directory: tools.Bin(t), configuration: configuration23, TransferService: true, Unpacks: 4}
}
