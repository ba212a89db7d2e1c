using CudaLora.Engine;

namespace CudaLora.Tests.Engine;

public unsafe class FloatConvertTests
{
    [Fact]
    public void DoublesRoundAsTheRuntimeDoes()
    {
        var random = new Random(4);
        double[] values = new double[61];
        for (int i = 0; i < values.Length; i++)
            values[i] = (random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-45, 39));
        float[] singles = new float[values.Length];
        fixed (double* s = values)
        fixed (float* d = singles)
            FloatConvert.F64ToF32(s, d, values.Length);
        for (int i = 0; i < values.Length; i++) Assert.Equal((float)values[i], singles[i]);
    }
}
