using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>
/// The LoRA kernels on aligned and odd shapes besides their labs' own, all of the emulator's checks on.
/// </summary>
public class LoraKernelTests
{
    [Theory]
    // In units of 16 bytes, several parts of columns, several chunks of rows.
    [InlineData("lora_thin_bf16", 130, 1040, 16)]
    [InlineData("lora_thin_bf16", 33, 64, 1)]
    [InlineData("lora_thin_bf16", 16, 7, 3)]
    [InlineData("lora_thin_bf16", 5, 520, 64)]
    [InlineData("lora_thin_f32", 130, 513, 16)]
    [InlineData("lora_thin_f32", 33, 64, 1)]
    [InlineData("lora_thin_f32", 1, 5, 33)]
    [InlineData("lora_decode_down_bf16", 1, 64, 16)]
    [InlineData("lora_decode_down_bf16", 16, 27, 4)]
    [InlineData("lora_decode_up_bf16", 1, 2056, 33, 16)]
    [InlineData("lora_decode_up_bf16", 16, 512, 16, 4)]
    [InlineData("lora_decode_up_bf16", 7, 301, 5, 1)]
    [InlineData("lora_wgmma_forward", 128, 64, 64, 72)]
    [InlineData("lora_wgmma_forward", 600, 520, 400, 16)]
    [InlineData("lora_wgmma_backward", 128, 64, 64, 72)]
    [InlineData("lora_wgmma_backward", 600, 520, 400, 16)]
    [InlineData("lora_pack_bf16", 512, 64, 16)]
    [InlineData("lora_pad_bf16", 3, 4096)]
    [InlineData("lora_pad_bf16", 2, 2053)]
    public void AgreesWithItsOracle(string entry, params int[] shape)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        LabRun run = KernelLab.All.Single(lab => lab.Entry == entry).Run(context, shape, seed: 3);
        Assert.True(run.Agrees, $"{entry}: error {run.Error} above {run.Tolerance}");
    }
    /// <summary>
    /// Two projections of one x with adapters of rank 4 and 3 share a pad. The oracle rounds what the products read, as
    /// the block matrix does; what is left is the bf16 rounding of the results.
    /// </summary>
    [Fact]
    public void BlockMatrixIsOneProductEachWay()
    {
        const int Rows = 9, In = 24, First = 16, Second = 8, Out = First + Second;
        const float Scale = 0.5f;
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        using var gemm = new PtxGemm(context);
        var inputs = new LabInputs(context, 4);
        var matrix = new LoraBlockMatrix(In, Out);
        float[] w = inputs.Values(Out * In), x = inputs.Values(Rows * In), dy = inputs.Values(Rows * Out);
        float[][] a = [inputs.Values(4 * In), inputs.Values(3 * In)];
        float[][] b = [inputs.Values(First * 4), inputs.Values(Second * 3)];
        LoraSlot[] slots = [new(0, First, 0, 4), new(First, Second, 4, 3)];
        using DeviceBuffer<ushort> dw = inputs.DeviceBf16(w), block = inputs.Empty<ushort>(matrix.Count);
        matrix.Load(context.Stream, block.Pointer.Address, dw.Pointer.Address);
        for (int p = 0; p < 2; p++)
        {
            using DeviceBuffer<float> da = inputs.Device(a[p]), db = inputs.Device(b[p]);
            matrix.Refresh(
                context.Stream, block.Pointer.Address, slots[p], da.Pointer.Address, db.Pointer.Address, Scale);
        }
        float[] m = LabInputs.Widen(block);
        double M(int row, int col) => m[row * matrix.InputPitch + col];
        for (int p = 0; p < 2; p++)
        {
            LoraSlot s = slots[p];
            for (int j = 0; j < s.Ranks; j++)
            {
                for (int i = 0; i < In; i++) Assert.Equal(a[p][j * In + i], M(Out + s.FirstRank + j, i), 1e-2);
                for (int o = 0; o < s.Outputs; o++)
                    Assert.Equal(Scale * b[p][o * s.Ranks + j], M(s.FirstOutput + o, In + s.FirstRank + j), 1e-2);
            }
        }

        // Forward: x and, in its spare columns, S; backward: dy and dS.
        var wideX = new float[Rows * matrix.InputPitch];
        var wideDy = new float[Rows * matrix.OutputPitch];
        for (int r = 0; r < Rows; r++)
        {
            for (int i = 0; i < In; i++) wideX[r * matrix.InputPitch + i] = x[r * In + i];
            for (int o = 0; o < Out; o++) wideDy[r * matrix.OutputPitch + o] = dy[r * Out + o];
            for (int j = 0; j < 7; j++)
            {
                double s = 0, ds = 0;
                for (int i = 0; i < In; i++) s += x[r * In + i] * M(Out + j, i);
                for (int o = 0; o < Out; o++) ds += dy[r * Out + o] * M(o, In + j);
                wideX[r * matrix.InputPitch + In + j] = (float)s;
                wideDy[r * matrix.OutputPitch + Out + j] = (float)ds;
            }
        }
        using DeviceBuffer<ushort> dx = inputs.DeviceBf16(wideX), ddy = inputs.DeviceBf16(wideDy);
        using DeviceBuffer<ushort> y = inputs.Empty<ushort>(Rows * Out), grad = inputs.Empty<ushort>(Rows * In);
        gemm.Run(
            context.Stream, matrix.Forward(Rows, Out), dx.Pointer.Address, block.Pointer.Address, y.Pointer.Address);
        gemm.Run(
            context.Stream, matrix.Backward(Rows, In), ddy.Pointer.Address, block.Pointer.Address,
            grad.Pointer.Address);
        float[] gotY = LabInputs.Widen(y), gotDx = LabInputs.Widen(grad);
        for (int r = 0; r < Rows; r++)
        {
            for (int o = 0; o < Out; o++)
            {
                double sum = 0;
                for (int k = 0; k < In + 7; k++) sum += wideX[r * matrix.InputPitch + k] * M(o, k);
                Assert.Equal(sum, gotY[r * Out + o], (1 + Math.Abs(sum)) / 256);
            }
            for (int i = 0; i < In; i++)
            {
                double sum = 0;
                for (int k = 0; k < Out + 7; k++) sum += wideDy[r * matrix.OutputPitch + k] * M(k, i);
                Assert.Equal(sum, gotDx[r * In + i], (1 + Math.Abs(sum)) / 256);
            }
        }
    }
}
