using System.Diagnostics.CodeAnalysis;

namespace CudaLora.Kernels.Driver;

/// <summary>Finds out whether CUDA can be used here, and says why.</summary>
public static class DriverProbe
{
    /// <summary>
    /// The machine's CUDA driver if it loads, starts and sees a device; otherwise false and <paramref name="reason"/>
    /// in
    /// one line. The emulator is never an answer: whoever wants it makes one.
    /// </summary>
    public static bool TryFindCuda([NotNullWhen(true)] out ICudaDriver? driver, out string reason)
    {
        driver = null;
        if (!LibCuda.TryLoad(out LibCuda? cuda, out reason)) return false;
        if (!Answers(cuda, out reason)) return false;
        driver = cuda;
        return true;
    }

    /// <summary>True if <paramref name="driver"/> starts and has at least one device; the reason names both.</summary>
    public static bool Answers(ICudaDriver driver, out string reason)
    {
        CudaResult result = driver.Init();
        if (result != CudaResult.Success)
        {
            reason = $"{driver.Name}: cuInit returned {(int)result} {result.DriverName()}";
            return false;
        }
        result = driver.DeviceGetCount(out int count);
        if (result != CudaResult.Success || count == 0)
        {
            reason = $"{driver.Name}: no CUDA device";
            return false;
        }
        string name = "device 0";
        if (driver.DeviceGet(out int device, 0) == CudaResult.Success) _ = driver.DeviceGetName(out name, device);
        reason = $"{driver.Name}: {count} device{(count == 1 ? "" : "s")}, {name}";
        return true;
    }
}
