{
  "targets": [
    {
      "target_name": "kvm_binding",
      "conditions": [
        ["OS=='linux' and target_arch=='x64'", {
          "sources": [
            "native/addon.c",
            "native/device.c",
            "native/environment.c",
            "native/events.c",
            "native/interrupt.c",
            "native/ioctls.c",
            "native/mapping.c",
            "native/memory.c",
            "native/object.c",
            "native/stats.c",
            "native/system.c",
            "native/values.c",
            "native/vcpu.c",
            "native/vm.c"
          ],
          "defines": ["_GNU_SOURCE", "NAPI_VERSION=8"],
          "cflags": ["-std=gnu11", "-Wall", "-Wextra", "-Werror=implicit-function-declaration", "-fvisibility=hidden"],
          # The signal handler and the process-wide tables must stay when the last worker that loaded the addon ends.
          "ldflags": ["-Wl,-z,nodelete", "-Wl,-z,relro", "-Wl,-z,now"]
        }, {
          "type": "none"
        }]
      ]
    }
  ]
}
