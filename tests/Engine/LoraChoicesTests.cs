using CudaLora.Engine;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Runtime;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Engine;

/// <summary>Which strategy a LoRA layer takes, on a driver whose clock the test sets.</summary>
public class LoraChoicesTests
{
    private static readonly LoraStrategy[] Candidates =
        [LoraStrategy.Composed, LoraStrategy.BlockMatrix, LoraStrategy.Fused];

    private static readonly LoraProduct Product = new(false, 8192, 4096, 4096, 16, false);

    [Fact]
    public void TheFastestIsTimedOnceAndFrozenInTheFile()
    {
        using var folder = new TemporaryFolder();
        var file = folder.File("lora.tsv");
        var driver = new RecordingDriver();
        using var context = CudaContext.Open(driver);

        var choices = new LoraChoices(context, "gemm 1", file);
        var runs = 0;
        Assert.Equal(LoraStrategy.Fused, Choose(choices, Product));
        Assert.Equal(18, runs); // Each of the three once to warm up and five times timed.
        Assert.Equal(LoraStrategy.Fused, Choose(choices, Product));
        Assert.Equal(18, runs);
        Assert.True(choices.TryGet(Product, out _));
        Assert.False(choices.TryGet(Product with { M = 1 }, out _));

        // Another process starts from the file; a line of another library, or a damaged one, says nothing.
        File.AppendAllText(file, $"damaged\n{context.Properties.Name}, gemm 1\t{Product with { M = 1 }}\tSlowest\n");
        var again = new LoraChoices(context, "gemm 1", file);
        Assert.Equal(LoraStrategy.Fused, again.Known[Product.ToString()]);
        Assert.Equal(LoraStrategy.Fused, Choose(again, Product));
        Assert.Equal(18, runs);
        Choose(again, Product with { M = 1 });
        Assert.Equal(36, runs);
        Choose(new LoraChoices(context, "gemm 2", file), Product);
        Assert.Equal(54, runs);

        LoraStrategy Choose(LoraChoices from, LoraProduct product) => from.Choose(product, Candidates, strategy =>
        {
            runs++;
            driver.Elapsed = strategy == LoraStrategy.Fused ? 1 : 2;
        });
    }

    // Under dropout every strategy composes the gradient: what the clock says would be chance, and kept for products
    // without dropout too.
    [Fact]
    public void AMaskedGradientChoosesNothing()
    {
        using var device = new CudaDevice(new EmulatedDriver(), new CudaDeviceOptions { LoraChoicesFile = null }, true);
        using var chosen = Device.Use(device);
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Bf16Leaf(1, 20, 16), w = OpCheck.Bf16Leaf(2, 24, 16);
        Tensor a = OpCheck.Leaf(3, 4, 16), b = OpCheck.Leaf(4, 24, 4);
        w.RequiresGrad = false;
        x.LoraLinear(w, null, a, b, 1, DropoutMask.Draw(0.5f, new Generator(1))).Backward(OpCheck.Bf16Leaf(5, 20, 24));
        Assert.Equal("forward (20, 24, 16) r 4", Assert.Single(device.LoraChoices.Known).Key);
        x.LoraLinear(w, null, a, b, 1).Backward(OpCheck.Bf16Leaf(5, 20, 24));
        Assert.Equal(["backward (20, 16, 24) r 4", "forward (20, 24, 16) r 4"], device.LoraChoices.Known.Keys);
    }

    // Layers that share S widen x once for all and multiply all its columns: another matter than one alone.
    [Fact]
    public void LayersThatShareAreChosenForApart()
    {
        using var device = new CudaDevice(new EmulatedDriver(), new CudaDeviceOptions { LoraChoicesFile = null }, true);
        using var chosen = Device.Use(device);
        using var scope = TensorScope.Begin();
        using var mode = GradMode.NoGrad();
        Tensor x = OpCheck.Bf16Leaf(1, 20, 16), w = OpCheck.Bf16Leaf(2, 24, 16);
        Tensor a = OpCheck.Leaf(3, 4, 16), b = OpCheck.Leaf(4, 24, 4);
        var layer = new LoraProjection(w, null, null, a, b, 1);
        x.LoraLinears(layer, layer);
        Assert.Equal("forward (20, 24, 16) r 16", Assert.Single(device.LoraChoices.Known).Key);
        x.LoraLinear(w, null, a, b, 1);
        Assert.Equal(["forward (20, 24, 16) r 16", "forward (20, 24, 16) r 4"], device.LoraChoices.Known.Keys);
    }

    // On a device with a clock, every strategy is tried with the layer's own tensors: nothing of that stays.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TrialsLeaveNothingBehind(bool fourBit)
    {
        using var device = new CudaDevice(
            new EmulatedDriver(new EmulatorOptions { KeepsTime = true, Workers = 1 }),
            new CudaDeviceOptions { LoraChoicesFile = null }, true);
        using var chosen = Device.Use(device);
        using var scope = TensorScope.Begin();
        Tensor x = OpCheck.Bf16Leaf(1, 20, 64), w = OpCheck.Bf16Leaf(2, 72, 64), narrow = OpCheck.Bf16Leaf(3, 40, 64);
        (w.RequiresGrad, narrow.RequiresGrad) = (false, false);
        using QuantizedTensor codes = FourBits(72), few = FourBits(40);
        Tensor a = OpCheck.Leaf(4, 4, 64), b = OpCheck.Leaf(5, 72, 4), c = OpCheck.Leaf(6, 40, 4);
        Run(); // Gradients get their memory.
        var (held, first) = (device.Memory.InUse, x.Grad!.ToArray());
        x.ZeroGrad();
        Run();
        Assert.Equal(held, device.Memory.InUse);
        Assert.Equal(first, x.Grad!.ToArray());
        // A product of its own is chosen for each output, and one for the input's gradient by dY alone.
        Assert.Equal(fourBit ? 4 : 3, device.LoraChoices.Known.Count);

        void Run()
        {
            using var step = TensorScope.Begin();
            var y = fourBit
                ? x.LoraLinears(new(null, codes, null, a, b, 1), new(null, few, null, a, c, 2))
                : x.LoraLinears(new(w, null, null, a, b, 1), new(narrow, null, null, a, c, 2));
            TensorOps.Concat(1, y).Backward(OpCheck.Bf16Leaf(7, 20, 112));
        }

        QuantizedTensor FourBits(int outputs)
        {
            using var host = Device.Use(Device.Cpu);
            using var there = QuantizedLinearTests.Weight(outputs, 64);
            return there.To(device);
        }
    }

    [Fact]
    public void ADriverWithoutAClockIsNotTimed()
    {
        using var driver = new EmulatedDriver();
        using var context = CudaContext.Open(driver);
        var choices = new LoraChoices(context, "gemm", null);
        Assert.Equal(
            LoraStrategy.Composed, choices.Choose(Product, Candidates, _ => throw new InvalidOperationException()));
        Assert.Equal("forward (8192, 4096, 4096) r 16", Assert.Single(choices.Known).Key);
    }
}
