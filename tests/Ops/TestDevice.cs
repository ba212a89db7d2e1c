using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests.Ops;

/// <summary>
/// The devices that tests run on. The emulator checks everything, and every tensor has its exact size in its memory, so
/// that a kernel that reads or writes one element too far is found.
/// </summary>
internal static class TestDevice
{
    [ThreadStatic]
    private static CudaDevice? emulator;

    [ThreadStatic]
    private static CudaDevice? cuda;

    public static IReadOnlyList<string> Names { get; } =
        DriverProbe.TryFindCuda(out _, out _) ? ["cpu", "emulator", "cuda"] : ["cpu", "emulator"];

    /// <summary>Makes a device the default of this thread, inside a tensor scope, until disposed.</summary>
    public static Guard Use(string name) => new(name);

    private static CudaDevice Cuda() => DriverProbe.TryFindCuda(out var driver, out var reason)
        ? new CudaDevice(driver, new CudaDeviceOptions { SynchronizeAfterLaunch = true })
        : throw new InvalidOperationException(reason);

    private static CudaDevice Emulator() => new(
        new EmulatedDriver(new EmulatorOptions { Workers = 1 }), new CudaDeviceOptions { ExactAllocations = true },
        ownsDriver: true);

    internal sealed class Guard : IDisposable
    {
        private readonly Device device;
        private readonly Device former = Device.Default;
        private readonly TensorScope scope;

        public Guard(string name)
        {
            device = name switch
            {
                "cpu" => Device.Cpu,
                "emulator" => emulator ??= Emulator(),
                "cuda" => cuda ??= Cuda(),
                _ => throw new ArgumentException($"no device {name}"),
            };
            _ = Device.Use(device);
            scope = TensorScope.Begin();
        }

        public void Dispose()
        {
            scope.Dispose();
            _ = Device.Use(former);
            // After a fault a driver answers with it for ever; the next test gets a new one.
            if (device is CudaDevice { Context.Driver.LastFault: not null } && device == emulator)
                emulator = null;
        }
    }
}
