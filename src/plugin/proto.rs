//! The messages, made from `plugin-manifest/proto/`. Those that may carry a code, an assertion or a key print their name only.

use std::fmt;

macro_rules! package {
    ($name:ident, $about:literal, $package:literal) => {
        #[doc = $about]
        #[expect(missing_docs, reason = "made from the .proto files, which say what there is to say")]
        pub mod $name {
            tonic::include_proto!($package);
        }
    };
}

package!(plugin, "Broker, controller, standard streams.", "plugin");
package!(logical, "The plugin's version; entities and groups.", "logical");
package!(multiplexing, "One process, many mounts.", "pluginutil.multiplexing");
package!(health, "The gRPC health protocol.", "grpc.health.v1");
package!(pb, "The engine's side and the host's.", "pb");

macro_rules! withheld {
    ($($name:ident),*) => {
        $(
            impl fmt::Debug for pb::$name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(concat!(stringify!($name), "(withheld)"))
                }
            }
        )*
    };
}

withheld!(Request, Response, Secret, Auth, StorageEntry);
