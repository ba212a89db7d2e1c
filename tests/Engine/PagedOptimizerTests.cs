using CudaLora.Engine;
using CudaLora.Kernels.Emulator;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Engine;

/// <summary>Moments in 8 bits and moments in pages on CUDA devices: the bits of the plain way.</summary>
public class PagedOptimizerTests
{
    private const int Page = 64 << 10;

    // From less than a chunk to several pages; the last has an odd end.
    private static readonly int[] Sizes = [100, 4095, 4096, 9000, 20_000, 70_001];

    private static IEnumerable<string> Devices => TestDevice.Names.Where(name => name != "cpu");

    [Theory]
    [InlineData(false, Page)]
    [InlineData(true, Page)]
    [InlineData(false, 1)] // A page holds a chunk of the update at least.
    [InlineData(true, 1 << 30)]
    public void PagedSteps_GiveTheSameBits(bool eightBit, long pageBytes)
    {
        foreach (var device in Devices)
        {
            using var guard = TestDevice.Use(device);
            var (plain, paged) = (Model(), Model());
            using var one = Optimizer(plain, eightBit, 0);
            using var two = Optimizer(paged, eightBit, pageBytes);
            for (var step = 1; step <= 3; step++)
            {
                var norm = Step(one, plain, step);
                Assert.Equal(norm, Step(two, paged, step));
                Assert.True(norm > 1); // It clips.
            }
            AssertSame(plain, paged);
            AssertSame(one, two);
        }
    }

    // The first run queues everything, the second is captured, and two more replay it: copies, waits and all.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void CapturedPages_GiveTheSameBits(bool eightBit)
    {
        // Of its own: capturing needs the pool, which the tests' emulator goes without.
        using var device = new CudaDevice(new EmulatedDriver(), ownsDriver: true);
        using var chosen = Device.Use(device);
        using var scope = TensorScope.Begin();
        var (plain, paged) = (Model(), Model());
        using var one = Optimizer(plain, eightBit, 0);
        using var two = Optimizer(paged, eightBit, Page);
        using var graphs = new GraphCache(device);
        var weights = Weights(paged, 1);
        for (var step = 1; step <= 4; step++)
        {
            Step(one, plain, 1);
            two.BeginStep(1);
            graphs.Run("step", Work, null);
            Assert.True(two.EndStep().Updated);
        }
        Assert.Equal(1, graphs.Count);
        AssertSame(plain, paged);
        AssertSame(one, two);

        void Work()
        {
            using var step = TensorScope.Begin();
            two.ZeroGrad();
            Backward(paged, weights);
            two.ClipAndStep(1);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void OnlyTheWindow_IsOnTheDevice(bool eightBit)
    {
        foreach (var name in Devices)
        {
            using var guard = TestDevice.Use(name);
            var device = (CudaDevice)Device.Default;
            var (plain, paged) = (Model(), Model());
            var (before, hostBefore) = (device.Memory.InUse, device.PinnedMemory.Memory.InUse);
            long States(AdamW optimizer) => optimizer.State().Sum(part => part.Value.ByteCount);
            long most;
            using (var optimizer = Optimizer(plain, eightBit, 0))
            {
                Assert.True(device.Memory.InUse - before >= States(optimizer));
                most = PeakOfStep(optimizer, plain);
            }
            before = device.Memory.InUse;
            using (var optimizer = Optimizer(paged, eightBit, Page))
            {
                Assert.InRange(device.Memory.InUse - before, 1, 3 * Page);
                // Every part starts at 256 bytes.
                var host = device.PinnedMemory.Memory.InUse - hostBefore;
                Assert.InRange(host, States(optimizer), States(optimizer) + (4 * 256 * Sizes.Length));
                Assert.All(optimizer.State(), part => Assert.Equal(DeviceKind.Cpu, part.Value.Device.Kind));
                // A step takes no more than without pages: the window is all there is.
                Assert.Equal(most, PeakOfStep(optimizer, paged));
            }
            Assert.Equal(before + GradientBytes, device.Memory.InUse);
            Assert.Equal(hostBefore, device.PinnedMemory.Memory.InUse);
        }
    }

    // A host may go on with moments that take less.
    [Theory]
    [InlineData(0)]
    [InlineData(20 << 20)] // Three windows of it.
    public void MomentsThatDoNotFit_LeaveNothingBehind(long pageBytes)
    {
        using var device = new CudaDevice(new EmulatedDriver(memoryBytes: 64 << 20), ownsDriver: true);
        using var chosen = Device.Use(device);
        Parameter[] two = [.. Enumerable.Range(0, 2).Select(i => new Parameter(
            new ParameterPath($"p{i}"), Tensor.Owned(Shape.Of(5 << 20))) { Trainable = true })];
        var before = device.Memory.InUse;
        Assert.Throws<DeviceMemoryException>(() => new AdamW(
            [new ParameterGroup(two, 0.01)], pageBytes: pageBytes));
        Assert.Equal((before, 0), (device.Memory.InUse, device.PinnedMemory.Memory.InUse));
        using var smaller = new AdamW([new ParameterGroup(two, 0.01)], pageBytes: Page);
        Assert.InRange(device.Memory.InUse - before, 1, 3 * Page);
    }

    // What one wrote, another goes on with.
    [Theory]
    [InlineData(false, Page, 0)]
    [InlineData(true, 0, Page)]
    [InlineData(true, Page, Page)]
    public void AStateGoesFromOneToTheOther(bool eightBit, long from, long to)
    {
        foreach (var device in Devices)
        {
            using var folder = new TemporaryFolder();
            using var guard = TestDevice.Use(device);
            var (whole, resumed) = (Model(), Model());
            using var first = Optimizer(whole, eightBit, from);
            Step(first, whole, 1);
            Step(first, whole, 2);
            TensorFiles.Write(folder.File("state.safetensors"), first.State());
            for (var i = 0; i < whole.Length; i++)
                resumed[i].Value.CopyFrom(whole[i].Value);
            using var second = Optimizer(resumed, eightBit, to);
            // Moments on their way to the device already are fetched again.
            second.ZeroGrad();
            TensorFiles.Read(folder.File("state.safetensors"), second.State());
            second.StepCount = 2;
            Step(first, whole, 3);
            Step(second, resumed, 3);
            AssertSame(whole, resumed);
            AssertSame(first, second);
        }
    }

    // Both round the factors of a step from double precision; the powers of beta in it are computed in different ways,
    // which could show once in some 10^8 steps.
    [Fact]
    public void EightBitSteps_AreTheCpusToTheBit()
    {
        var expected = Run("cpu");
        foreach (var device in Devices)
        {
            var actual = Run(device);
            for (var i = 0; i < expected.Length; i++)
                Assert.Equal(expected[i], actual[i]);
        }

        static float[][] Run(string device)
        {
            using var guard = TestDevice.Use(device);
            Parameter[] model = [.. Model().Where(p => p.Value.Count >= 4096)];
            using var optimizer = Optimizer(model, eightBit: true, 0);
            for (var step = 1; step <= 3; step++)
            {
                using var scope = TensorScope.Begin();
                optimizer.ZeroGrad();
                Backward(model, Weights(model, step));
                optimizer.Step(rateFactor: 0.5, gradientScale: 0.25);
            }
            return
            [
                .. model.Select(p => p.Value.ToArray()),
                .. optimizer.State().Select(part => part.Value.DType == DType.U8
                    ? Array.ConvertAll(Bytes(part.Value), code => (float)code)
                    : part.Value.ToArray()),
            ];
        }
    }

    private static AdamW Optimizer(Parameter[] parameters, bool eightBit, long pageBytes) => new(
        [new ParameterGroup(parameters[..2], 0.01, 0.1), new ParameterGroup(parameters[2..], 0.003)],
        eightBit: eightBit, pageBytes: pageBytes);

    private static long GradientBytes => Sizes.Sum(size => (long)size * sizeof(float));

    private static long PeakOfStep(AdamW optimizer, Parameter[] model)
    {
        var memory = model[0].Value.Device;
        memory.ResetPeakMemory();
        var start = memory.Memory.InUse;
        Step(optimizer, model, 1);
        return memory.Memory.Peak - start;
    }

    private static double Step(AdamW optimizer, Parameter[] model, int seed)
    {
        using var scope = TensorScope.Begin();
        optimizer.BeginStep(1);
        optimizer.ZeroGrad();
        Backward(model, Weights(model, seed));
        optimizer.ClipAndStep(1);
        var (norm, updated) = optimizer.EndStep();
        Assert.True(updated);
        return norm;
    }

    private static Tensor[] Weights(Parameter[] model, int seed) =>
        [.. model.Select(p => Tensor.From(GradientCheck.Values(seed, p.Value.Shape), p.Value.Shape))];

    // The gradient of a parameter is its weights.
    private static void Backward(Parameter[] model, Tensor[] weights)
    {
        for (var i = 0; i < model.Length; i++)
            (model[i].Value * weights[i]).Sum().Backward();
    }

    private static Parameter[] Model() =>
    [
        .. Sizes.Select((size, i) =>
        {
            var shape = Shape.Of(size);
            return new Parameter(
                new ParameterPath($"p{i}"), Tensor.From(GradientCheck.Values(40 + i, shape), shape))
            { Trainable = true };
        }),
    ];

    private static void AssertSame(Parameter[] expected, Parameter[] actual)
    {
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i].Value.ToArray(), actual[i].Value.ToArray());
    }

    private static void AssertSame(AdamW expected, AdamW actual)
    {
        foreach (var (one, two) in expected.State().Zip(actual.State()))
        {
            Assert.Equal(one.Name, two.Name);
            Assert.Equal(Bytes(one.Value), Bytes(two.Value));
        }
    }

    private static byte[] Bytes(Tensor tensor)
    {
        if (tensor.DType != DType.U8)
            return [.. tensor.ToArray().SelectMany(BitConverter.GetBytes)];
        var bytes = new byte[tensor.Count];
        tensor.CopyTo<byte>(bytes);
        return bytes;
    }
}
